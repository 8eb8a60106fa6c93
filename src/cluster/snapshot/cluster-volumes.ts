import { QuiesceError } from '../../errors.ts';
import { counted } from '../../lib/counted.ts';
import type { ClusterConnection } from '../api/reader.ts';
import type { PlanMember } from '../plan/document.ts';
import { each, ObjectApi } from '../api/objects.ts';
import { type Places, rightsToCut, rightsToGroup } from './check-rights.ts';
import { missingRights } from '../run/missing-rights.ts';
import { type Obstacle, planVolumes, type VolumeFacts } from './classes.ts';
import { cutEach } from './cut.ts';
import type { RunName } from './volumes.ts';
import { cutGroup } from './cut-group.ts';
import type { Retained, RunProblem, SnapshotRun } from './document.ts';
import {
  type ClaimKey,
  claimsOf,
  groupVersion,
  readClaims,
  readClasses,
  readGroupClasses,
} from './read-volumes.ts';
import { untilReady } from './ready.ts';
import { markFailed, recordRun } from './record.ts';
import { isOfOther, removeRun, unmarkClaims } from './remove.ts';
import { trimReports } from './reports.ts';
import { readObjects, type RunObjects, runOf } from './runs.ts';
import { forbidden } from '../api/rights.ts';
import type { CutResult, VolumePlan, Volumes } from './volumes.ts';
import { RUN_LABELS } from '../run/names.ts';

export interface VolumeOptions {
  /** The namespaces of the application; the report is kept in the first. */
  readonly namespaces: readonly string[];
  /** The user's choices of VolumeSnapshotClasses: driver to class. */
  readonly classes?: ReadonlyMap<string, string>;
  /** `false`: each volume gets a snapshot of its own. */
  readonly groupSnapshots?: boolean;
  /** Of the Lease; absent: the first namespace of the application. */
  readonly leaseNamespace?: string | undefined;
  /** So many reports of an application are kept. */
  readonly reports?: number;
}

const REPORTS = 100;

/** The volume side of a run, on a cluster. */
export class ClusterVolumes implements Volumes {
  readonly #api: ObjectApi;
  readonly #options: VolumeOptions;
  #groupVersion: Promise<string | undefined> | undefined;

  constructor(connection: ClusterConnection, options: VolumeOptions) {
    this.#api = new ObjectApi(connection);
    this.#options = options;
  }

  async preflight(members: readonly PlanMember[], signal: AbortSignal): Promise<VolumePlan> {
    const keys = claimsOf(members);
    if (keys.length === 0) return { claims: [], group: false, notes: [] };
    const api = this.#api;
    const [classes, claims, missing] = await Promise.all([
      readClasses(api),
      readClaims(api, keys),
      missingRights(api, rightsToCut(this.#places(keys))),
    ]);
    signal.throwIfAborted();
    if (missing.length > 0) throw forbidden(missing);
    const facts = { classes, claims, choices: this.#options.classes ?? new Map<string, string>() };
    return await this.#plan(facts);
  }

  async #plan(facts: Omit<VolumeFacts, 'groupClasses'>): Promise<VolumePlan> {
    const version = this.#options.groupSnapshots === false ? undefined : await this.#version();
    const groupClasses = await readGroupClasses(this.#api, version);
    const { plan, obstacles } = planVolumes({ ...facts, groupClasses });
    refuse(obstacles);
    const [first] = plan.claims;
    if (!plan.group || version === undefined || first === undefined) return plan;
    const missing = await missingRights(this.#api, rightsToGroup(first.namespace, version));
    if (missing.length === 0) return plan;
    const alone = planVolumes({ ...facts, groupClasses: [] });
    refuse(alone.obstacles);
    const { message, hint } = forbidden(missing);
    const note = {
      code: 'GROUP_SNAPSHOT_FORBIDDEN',
      message: `Each volume gets a snapshot of its own, not one for all: ${message}`,
      hint,
    };
    return { ...alone.plan, notes: [...alone.plan.notes, note] };
  }

  async sweep(group: string): Promise<readonly RunProblem[]> {
    const { namespaces } = this.#options;
    const pending = await readObjects(this.#api, { namespaces, group }, [
      `${RUN_LABELS.verdict}=pending`,
    ]);
    const all = [...pending.snapshots, ...pending.groupSnapshots, ...pending.reports];
    const own = all.filter((one) => !isOfOther(one, this.#lease));
    const ids = [...new Set(own.map(runOf))].filter((id) => id !== '');
    const version = await this.#version();
    const found = await each(ids, async (id) => {
      const objects = await readObjects(this.#api, { namespaces, group, id });
      await markFailed(this.#api, objects, version);
      const message = `The run ${id} ended before it was recorded; what it made (${madeOf(objects)}) is now marked as failed.`;
      const hint = 'quiesce snapshots --prune removes failed runs first.';
      return { code: 'RUN_INTERRUPTED', message, hint };
    });
    await unmarkClaims(this.#api, namespaces, { group, lease: this.#lease });
    return found;
  }

  async cut(given: RunName, plan: VolumePlan, signal: AbortSignal): Promise<CutResult> {
    const run = { ...given, lease: this.#lease };
    const version = plan.group ? await this.#version() : undefined;
    if (version === undefined) return await cutEach(this.#api, run, plan, signal);
    return await cutGroup(this.#api, run, { ...plan, version }, signal);
  }

  async ready(cut: CutResult, signal: AbortSignal): Promise<CutResult> {
    const { run, groupSnapshot } = cut;
    if (groupSnapshot !== undefined) await unmarkClaims(this.#api, [groupSnapshot.namespace], run);
    return await untilReady(this.#api, cut, signal);
  }

  async record(run: SnapshotRun, cut: CutResult | undefined): Promise<void> {
    const to = { home: this.#home, groupVersion: await this.#version() };
    await recordRun(this.#api, run, cut, to);
    // The run is on record: what is left of old ones must not fail it.
    const most = this.#options.reports ?? REPORTS;
    await trimReports(this.#api, to.home, run.group, most).catch(() => undefined);
  }

  async discard(run: RunName): Promise<Retained> {
    const { namespaces } = this.#options;
    const { snapshots, groupSnapshots } = await readObjects(this.#api, { namespaces, ...run });
    const own = { snapshots, groupSnapshots, reports: [] };
    const retained = await removeRun(this.#api, own, await this.#version());
    await unmarkClaims(this.#api, namespaces, run);
    return retained;
  }

  #places(keys: readonly ClaimKey[]): Places {
    const namespaces = [...new Set(keys.map(({ namespace }) => namespace))];
    return { namespaces, home: this.#home, lease: this.#lease };
  }

  get #home(): string {
    return this.#options.namespaces.toSorted()[0] ?? 'default';
  }

  get #lease(): string {
    return this.#options.leaseNamespace ?? this.#home;
  }

  #version(): Promise<string | undefined> {
    this.#groupVersion ??= groupVersion(this.#api);
    return this.#groupVersion;
  }
}

/** Says all that is in the way, so that a second run does not find the next of it. */
function refuse(obstacles: readonly Obstacle[]): void {
  const [first] = obstacles;
  if (first === undefined) return;
  const shown = obstacles.slice(0, 10).map(({ message }) => message);
  const more =
    obstacles.length > shown.length ? [`And ${obstacles.length - shown.length} more.`] : [];
  throw new QuiesceError(first.code, [...shown, ...more].join(' '), {
    ...(first.hint !== undefined && { hint: first.hint }),
    details: { problems: obstacles },
  });
}

function madeOf({ snapshots, groupSnapshots }: RunObjects): string {
  const counts = [
    counted(snapshots.length, 'snapshot'),
    ...(groupSnapshots.length > 0 ? [counted(groupSnapshots.length, 'group snapshot')] : []),
  ];
  return counts.join(', ');
}
