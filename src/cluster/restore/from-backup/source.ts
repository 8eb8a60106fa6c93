import { QuiesceError } from '../../../errors.ts';
import {
  CONFIG_MAPS,
  type Kind,
  type ObjectApi,
  reasonOf,
  rightOf,
  STORAGE_CLASSES,
} from '../../api/objects.ts';
import type { Right } from '../../api/rights.ts';
import { at, type KubeObject, namespaceOf, textAt } from '../../objects/kube-object.ts';
import type { Plan } from '../../plan/document.ts';
import { resumeCronJobs } from '../cron-jobs.ts';
import type { RestoreProblem, RestoreSource } from '../document.ts';
import { textOf } from '../mapped.ts';
import { checkRights } from '../preflight.ts';
import type { Source, SourceState, Target } from '../source.ts';
import { StageBook } from '../stages-of.ts';
import { FILE_BACKUPS, modifierOf, restoreOf, RESTORES, stateOf } from './velero.ts';

export interface BackupParts {
  readonly api: ObjectApi;
  /** Of Velero. */
  readonly velero: string;
  readonly backup: KubeObject;
  readonly objects: readonly KubeObject[];
  readonly plan: Plan;
}

/** A backup of Velero: one Restore creates everything. */
export class BackupSource implements Source {
  readonly about: Omit<RestoreSource, 'namespaces'>;
  readonly plan: Plan;
  readonly objects: readonly KubeObject[];
  readonly held: ReadonlySet<string>;
  readonly #api: ObjectApi;
  readonly #velero: string;

  private constructor(parts: BackupParts, held: ReadonlySet<string>) {
    const { api, velero, backup, objects, plan } = parts;
    const takenAt = textAt(backup, 'status', 'startTimestamp');
    const name = backup.metadata?.name ?? '';
    this.about = { kind: 'backup', name, ...(takenAt !== undefined && { takenAt }) };
    this.plan = plan;
    this.objects = objects;
    this.held = held;
    this.#api = api;
    this.#velero = velero;
  }

  /** Looks which pods Velero must see on a node before it fills their volumes. */
  static async of(parts: BackupParts): Promise<BackupSource> {
    return new BackupSource(parts, await heldPods(parts));
  }

  async preflight(_target: Target, _signal: AbortSignal): Promise<readonly RestoreProblem[]> {
    await checkRights(this.#api, rightsOf(this.#velero));
    await this.#checkClasses();
    const book = new StageBook(this);
    return book.unstaged().map((one): RestoreProblem => ({
      code: 'NOT_HELD_BACK',
      message:
        'Its pods do not wait for their turn: Velero fills their volumes while they run, and they have no init container of quiesce that could wait.',
      hint: 'Give its pods the label quiesce.dev/inject: "true" before the next backup.',
      object: textOf(one),
    }));
  }

  async begin(target: Target, _signal: AbortSignal): Promise<void> {
    const modifier = modifierOf(target, this.#velero);
    await this.#create(CONFIG_MAPS, modifier);
    const name = this.about.name;
    await this.#create(RESTORES, restoreOf(target, name, this.#velero));
  }

  async state({ id }: Target, _signal: AbortSignal): Promise<SourceState> {
    const found = await this.#api.get(RESTORES, this.#velero, id);
    if (found === undefined) {
      throw new QuiesceError('RESTORE_FAILED', `Velero’s Restore ${id} is gone.`);
    }
    const { phase, done, failure, problems } = stateOf(found);
    if (failure !== undefined) {
      const hint = `Look at velero restore logs ${id}. Then end this run, and begin anew.`;
      throw new QuiesceError('RESTORE_FAILED', `Velero’s Restore is ${phase}: ${failure}.`, {
        hint,
      });
    }
    return { done, problems, doing: `Velero: ${phase}` };
  }

  async finish(
    { id, namespaces }: Target,
    _signal: AbortSignal,
  ): Promise<readonly RestoreProblem[]> {
    const problems = await resumeCronJobs(this.#api, id, [...namespaces.values()]);
    return [...problems, ...(await removeModifier(this.#api, id, this.#velero))];
  }

  async #create(kind: Kind, object: KubeObject): Promise<void> {
    const answer = await this.#api.send('POST', kind, { namespace: this.#velero }, object);
    // The verb was killed, and has created it before.
    if (answer.status === 201 || answer.status === 409) return;
    const text = `${object.kind} ${object.metadata?.name} in ${this.#velero} could not be created`;
    throw new QuiesceError('RESTORE_FAILED', `${text}: ${reasonOf(answer)}.`);
  }

  /** @throws QuiesceError RESTORE_IMPOSSIBLE */
  async #checkClasses(): Promise<void> {
    const known = await this.#api.list(STORAGE_CLASSES, undefined).catch(() => undefined);
    if (known === undefined) return;
    const names = new Set(known.map(({ metadata }) => metadata?.name ?? ''));
    const changed = await this.#changedClasses();
    const claims = this.objects.filter(
      (one) =>
        one.kind === 'PersistentVolumeClaim' && this.plan.namespaces.includes(namespaceOf(one)),
    );
    const wanted = claims.flatMap((one) => textAt(one, 'spec', 'storageClassName') || []);
    const missing = new Set(
      wanted.map((one) => changed[one] ?? one).filter((one) => !names.has(one)),
    );
    if (missing.size === 0) return;
    const text = `The cluster has no storage class ${[...missing].join(', ')}, which claims of the backup name.`;
    const hint =
      'Create it, or map it with a ConfigMap of Velero (velero.io/change-storage-class: RestoreItemAction).';
    throw new QuiesceError('RESTORE_IMPOSSIBLE', text, { hint });
  }

  /** Velero's own map from old classes to new ones. */
  async #changedClasses(): Promise<Readonly<Record<string, string>>> {
    const label = 'velero.io/change-storage-class=RestoreItemAction';
    const maps = (await this.#api.list(CONFIG_MAPS, this.#velero, label).catch(() => [])) ?? [];
    return Object.assign({}, ...maps.map((one) => at(one, 'data') ?? {})) as Record<string, string>;
  }
}

/** Removes what only Velero needed. */
export async function removeModifier(
  api: ObjectApi,
  run: string,
  velero: string,
): Promise<readonly RestoreProblem[]> {
  const { name } = modifierOf({ id: run, namespaces: new Map() }, velero).metadata;
  const answer = await api.send('DELETE', CONFIG_MAPS, { namespace: velero, name });
  if (answer.status < 300 || answer.status === 404) return [];
  const message = `It could not be deleted, and can be: ${reasonOf(answer)}.`;
  return [{ code: 'MODIFIER_LEFT', message, object: `${velero} ConfigMap/${name}` }];
}

function rightsOf(velero: string): readonly Right[] {
  const own = (kind: Kind, verbs: readonly string[]): readonly Right[] =>
    verbs.map((verb) => rightOf(verb, kind, velero));
  return [
    ...own(RESTORES, ['get', 'create']),
    ...own(CONFIG_MAPS, ['list', 'create', 'delete']),
    ...own(FILE_BACKUPS, ['list']),
  ];
}

const LONGEST_LABEL = 63;

/**
 * Velero's file-system restore waits ten minutes for the pod to be bound to a node, and the data mover, with
 * classes that wait for a pod, as well.
 */
async function heldPods({ api, velero, backup, plan }: BackupParts): Promise<ReadonlySet<string>> {
  const name = backup.metadata?.name ?? '';
  const label = name.length > LONGEST_LABEL ? undefined : `velero.io/backup-name=${name}`;
  const copies = (await api.list(FILE_BACKUPS, velero, label)) ?? [];
  const own = copies.filter((one) => textAt(one, 'spec', 'tags', 'backup') === name || label);
  const pods = own.map(
    (one) => `${textAt(one, 'spec', 'pod', 'namespace')}/${textAt(one, 'spec', 'pod', 'name')}`,
  );
  const moved = at(backup, 'spec', 'snapshotMoveData') === true;
  const withClaims = plan.layers.flatMap(({ members }) =>
    members.flatMap((one) =>
      moved && one.claims.length > 0 ? one.pods.map((pod) => `${one.namespace}/${pod}`) : [],
    ),
  );
  return new Set([...pods, ...withClaims]);
}

/** For a run that is released: waits until Velero creates nothing more, and takes the modifier away. */
export async function settleBackup(
  api: ObjectApi,
  run: string,
  velero: string,
  pause: () => Promise<void>,
): Promise<readonly RestoreProblem[]> {
  for (;;) {
    const found = await api.get(RESTORES, velero, run);
    const state = found && stateOf(found);
    if (state === undefined || state.done) {
      return [...(state?.problems ?? []), ...(await removeModifier(api, run, velero))];
    }
    await pause();
  }
}
