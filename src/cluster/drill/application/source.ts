import type { ObjectApi } from '../../api/objects.ts';
import type { KubeObject } from '../../objects/kube-object.ts';
import type { Plan } from '../../plan/document.ts';
import type { RestoreProblem, RestoreSource } from '../../restore/document.ts';
import { copiesOf } from '../../restore/objects/copies.ts';
import { createObjects } from '../../restore/objects/create.ts';
import { WAYS_IN } from '../../restore/objects/kinds.ts';
import { oldNames } from '../../restore/objects/old-names.ts';
import type { Source, SourceState, Target } from '../../restore/source.ts';
import { lookAtClaims } from '../../restore/volumes/look.ts';
import { makeVolumes, type ToMake } from '../../restore/volumes/make.ts';
import { type DrillMarks, drillAnnotations, drillLabels } from '../marks.ts';
import type { DrillSource } from '../source.ts';
import { closedObjects, DRILLED_MEMBERS } from './closed.ts';

export interface ApplicationOrder {
  readonly marks: DrillMarks;
  readonly namespaces: ReadonlyMap<string, string>;
  readonly storageClasses: ReadonlyMap<string, string>;
  readonly snapshotClasses: ReadonlySet<string>;
}

/** An application for a scratch namespace, as a staged restore takes it. */
export class ApplicationSource implements Source {
  readonly about: Omit<RestoreSource, 'namespaces'>;
  readonly plan: Plan;
  readonly objects: readonly KubeObject[];
  readonly volumes: readonly ToMake[];
  readonly closed: ReturnType<typeof closedObjects>;
  /** What of production the copies name. They do not reach it, and may not start for it. */
  readonly warnings: readonly RestoreProblem[];
  readonly #api: ObjectApi;
  readonly #problems: readonly RestoreProblem[];

  constructor(api: ObjectApi, source: DrillSource, order: ApplicationOrder) {
    const { marks, namespaces } = order;
    const given = source.objects ?? [];
    const made = new Set(source.volumes.map(({ namespace, claim }) => `${namespace}/${claim}`));
    const moving = { id: marks.id, namespaces, withIngress: false, given: false, volumes: made };
    const copies = copiesOf(given, moving);
    this.#api = api;
    this.about = source.about;
    this.plan = drilledPlan(source.plan);
    this.objects = given;
    this.volumes = source.volumes.map((volume) => ({
      volume,
      claims: source.claims.filter(
        ({ metadata }) =>
          metadata?.namespace === volume.namespace && metadata.name === volume.claim,
      ),
      target: {
        id: marks.id,
        group: marks.group,
        namespace: namespaces.get(volume.namespace) ?? '',
        storageClasses: order.storageClasses,
        snapshotClasses: order.snapshotClasses,
        labels: drillLabels(marks),
        annotations: drillAnnotations(marks),
      },
    }));
    const closed = closedObjects(copies.objects, marks);
    const ways = waysIn(given, namespaces);
    this.closed = { ...closed, leftOut: [...new Set([...closed.leftOut, ...ways])].toSorted() };
    this.warnings = oldNames(this.closed.objects, given, namespaces);
    this.#problems = [...notDrilled(source.plan), ...lacking(source)];
  }

  preflight(): Promise<readonly RestoreProblem[]> {
    return Promise.resolve(this.#problems);
  }

  async begin(_target: Target, signal: AbortSignal): Promise<void> {
    await makeVolumes(this.#api, this.volumes, signal);
    await createObjects(this.#api, this.closed.objects, signal);
  }

  async state({ id, namespaces }: Target): Promise<SourceState> {
    const places = [...namespaces.values()];
    const claims = await lookAtClaims(this.#api, { id, namespaces: places });
    const bound = claims.filter(({ phase }) => phase === 'bound').length;
    const doing = `${bound} of ${claims.length} claims are bound`;
    return { done: true, problems: this.#problems, doing };
  }

  finish(): Promise<readonly RestoreProblem[]> {
    return Promise.resolve([]);
  }
}

/** They are not copied into another namespace at all. */
function waysIn(
  objects: readonly KubeObject[],
  namespaces: ReadonlyMap<string, string>,
): readonly string[] {
  return objects.flatMap(({ kind = '', metadata }) =>
    WAYS_IN.test(kind) && namespaces.has(metadata?.namespace ?? '') ? [kind] : [],
  );
}

/** Without members that only an operator could make: it would work on the copies as on production. */
export function drilledPlan(plan: Plan): Plan {
  const layers = plan.layers
    .map(({ members }) => ({ members: members.filter(({ kind }) => DRILLED_MEMBERS.has(kind)) }))
    .filter(({ members }) => members.length > 0);
  return { ...plan, layers };
}

function notDrilled({ layers }: Plan): readonly RestoreProblem[] {
  return layers
    .flatMap(({ members }) => members)
    .filter(({ kind }) => !DRILLED_MEMBERS.has(kind))
    .map(({ namespace, kind, name }) => ({
      code: 'MEMBER_NOT_DRILLED',
      message: 'It is left out: a drill makes neither operators’ resources nor DaemonSets.',
      hint: 'quiesce drill --mode data proves its data.',
      object: `${namespace} ${kind}/${name}`,
    }));
}

function lacking({ without, about }: DrillSource): readonly RestoreProblem[] {
  return without.map((name) => ({
    code: 'VOLUME_NOT_IN_SOURCE',
    message: `The ${about.kind} has no snapshot of it, so it came up empty.`,
    object: name.replace('/', ' PersistentVolumeClaim/'),
  }));
}
