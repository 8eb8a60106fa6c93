import type { ObjectApi } from '../../api/objects.ts';
import { rightOf } from '../../api/objects.ts';
import type { Right } from '../../api/rights.ts';
import { type KubeObject, namespaceOf } from '../../objects/kube-object.ts';
import type { Plan } from '../../plan/document.ts';
import { CRON_JOBS, resumeCronJobs } from '../cron-jobs.ts';
import type { RestoreProblem, RestoreSource, SnapshotRestore } from '../document.ts';
import { copiesOf } from '../objects/copies.ts';
import { createObjects, notServed, Served } from '../objects/create.ts';
import { oldNames } from '../objects/old-names.ts';
import { checkRights } from '../preflight.ts';
import type { Source, SourceState, Target } from '../source.ts';
import { describedBy } from '../volumes/manifests.ts';
import { lookAtClaims } from '../volumes/look.ts';
import {
  checkVolumes,
  makeVolumes,
  rightsToMake,
  snapshotClassesOf,
  type ToMake,
} from '../volumes/make.ts';
import { settleVolumes } from '../volumes/remove.ts';
import type { SourceVolumes } from '../volumes/source-volume.ts';
import { sourceProblems } from './problems.ts';
import { checkReplace, rightsToReplace } from './replace/check.ts';
import { replaceAll } from './replace/replace.ts';

export interface SnapshotParts {
  readonly api: ObjectApi;
  /** The id of the run that cut the volumes. */
  readonly run: string;
  readonly volumes: SourceVolumes;
  /** Of the namespaces of the source. */
  readonly plan: Plan;
  /** What makes the application: of the live one, of manifests or of a backup. */
  readonly objects: readonly KubeObject[];
  /** They are manifests of the user. */
  readonly given: boolean;
  /** What describes a claim besides the run, by `NAMESPACE/NAME` of the source. */
  readonly claims: ReadonlyMap<string, readonly KubeObject[]>;
  readonly storageClasses: ReadonlyMap<string, string>;
  readonly withIngress: boolean;
  /** In place: the claims are replaced, and the objects stay. */
  readonly replace: boolean;
  /** What the run was told, for its record. */
  readonly told: SnapshotRestore;
}

/** The snapshots of a run: claims are made from them, and objects from what describes the application. */
export class SnapshotSource implements Source {
  readonly about: Omit<RestoreSource, 'namespaces'>;
  readonly plan: Plan;
  readonly objects: readonly KubeObject[];
  readonly #parts: SnapshotParts;
  #problems: readonly RestoreProblem[] = [];

  constructor(parts: SnapshotParts) {
    const { run, volumes, plan, objects } = parts;
    const { takenAt } = volumes;
    const when = takenAt === undefined ? {} : { takenAt };
    this.about = { kind: 'snapshot', name: run, ...when, snapshot: parts.told };
    this.plan = plan;
    this.objects = objects;
    this.#parts = parts;
  }

  async preflight(target: Target, _signal: AbortSignal): Promise<readonly RestoreProblem[]> {
    const { api, replace, objects } = this.#parts;
    const all = await this.#toMake(target);
    const known = sourceProblems(this.#parts);
    const places = [...target.namespaces.values()];
    if (replace) {
      await checkRights(api, [...rightsToMake(places), ...rightsToReplace(places)]);
      await checkReplace(api, this.plan, all);
      return known;
    }
    const copies = this.#copies(target);
    await checkRights(api, [
      ...rightsToMake(places),
      ...(await rightsToCreate(api, copies.objects)),
      ...places.map((one) => rightOf('patch', CRON_JOBS, one)),
    ]);
    await checkVolumes(api, all);
    return [
      ...known,
      ...copies.problems,
      ...oldNames(copies.objects, objects, target.namespaces),
      ...(await notServed(api, copies.objects)),
    ];
  }

  async begin(target: Target, signal: AbortSignal): Promise<void> {
    const { api, replace } = this.#parts;
    const all = await this.#toMake(target);
    const found = sourceProblems(this.#parts);
    if (replace) {
      await replaceAll(api, { id: target.id, plan: this.plan, volumes: all }, signal);
      this.#problems = found;
      return;
    }
    const copies = this.#copies(target);
    await makeVolumes(api, all, signal);
    const taken = await createObjects(api, copies.objects, signal);
    const names = oldNames(copies.objects, this.#parts.objects, target.namespaces);
    this.#problems = [...found, ...copies.problems, ...names, ...taken];
  }

  async state({ id, namespaces }: Target, _signal: AbortSignal): Promise<SourceState> {
    const claims = await lookAtClaims(this.#parts.api, {
      id,
      namespaces: [...namespaces.values()],
    });
    const lost = claims.filter(({ phase }) => phase === 'lost');
    const waiting = claims.filter(({ phase }) => phase === 'waiting');
    const why = waiting.find((one) => one.why !== undefined);
    const said = why === undefined ? '' : `; ${why.claim}: ${why.why}`;
    return {
      done: true,
      problems: [
        ...this.#problems,
        ...lost.map(({ namespace, claim }): RestoreProblem => ({
          code: 'CLAIM_LOST',
          message: 'It has lost its volume.',
          object: `${namespace} PersistentVolumeClaim/${claim}`,
        })),
      ],
      doing: `${claims.length - waiting.length} of ${claims.length} claims are bound${said}`,
    };
  }

  async finish(
    { id, namespaces }: Target,
    _signal: AbortSignal,
  ): Promise<readonly RestoreProblem[]> {
    const { api, volumes, claims } = this.#parts;
    const places = [...namespaces.values()];
    const retained = volumes.volumes.filter(
      (one) =>
        describedBy(one, claims.get(`${one.namespace}/${one.claim}`) ?? []).reclaimPolicy ===
        'Retain',
    );
    const names = retained.map(
      ({ namespace, claim }) => `${namespaces.get(namespace) ?? namespace}/${claim}`,
    );
    const suspended = await resumeCronJobs(api, id, places);
    const unbound = await settleVolumes(api, { id, namespaces: places }, new Set(names));
    return [
      ...suspended,
      ...unbound.map((name): RestoreProblem => ({
        code: 'CLAIM_NOT_BOUND',
        message: 'No pod has used it yet, so nobody has seen its data.',
        object: name.replace('/', ' PersistentVolumeClaim/'),
      })),
    ];
  }

  #copies({ id, namespaces }: Target) {
    const { objects, given, withIngress, volumes } = this.#parts;
    const made = new Set(volumes.volumes.map(({ namespace, claim }) => `${namespace}/${claim}`));
    return copiesOf(objects, { id, namespaces, given, withIngress, volumes: made });
  }

  async #toMake({ id, namespaces }: Target): Promise<readonly ToMake[]> {
    const { api, volumes, claims, storageClasses } = this.#parts;
    const snapshotClasses = await snapshotClassesOf(api);
    return volumes.volumes.map((volume) => ({
      volume,
      target: {
        id,
        group: volumes.group,
        namespace: namespaces.get(volume.namespace) ?? volume.namespace,
        storageClasses,
        snapshotClasses,
      },
      claims: claims.get(`${volume.namespace}/${volume.claim}`) ?? [],
    }));
  }
}

async function rightsToCreate(
  api: ObjectApi,
  objects: readonly KubeObject[],
): Promise<readonly Right[]> {
  const served = new Served(api);
  const rights = new Map<string, Right>();
  for (const object of objects) {
    const kind = await served.kindOf(object);
    if (kind === undefined) continue;
    for (const verb of ['create', 'get']) {
      const right = rightOf(verb, kind, namespaceOf(object));
      rights.set(JSON.stringify(right), right);
    }
  }
  return [...rights.values()];
}
