import type { ErrorCode } from '../../errors.ts';
import type { ClaimRecord } from '../run/claim-record.ts';
import { cutsAtOnce, lacksGroups, refusedParameters } from '../inventory/drivers.ts';
import type { RunProblem } from './document.ts';
import type { Atomic, PlannedClaim, VolumePlan } from './volumes.ts';

/** On a claim: the VolumeSnapshotClass to cut it with. */
export const CLASS_ANNOTATION = 'quiesce.dev/snapshot-class';
/** The same, as Velero reads it on a claim; on a class, Velero's label of the same name. */
export const VELERO_CLASS = 'velero.io/csi-volumesnapshot-class';
const VELERO_GROUP_CLASS = 'velero.io/csi-volumegroupsnapshot-class';
const DEFAULT_CLASS = 'snapshot.storage.kubernetes.io/is-default-class';
const DEFAULT_GROUP_CLASS = 'groupsnapshot.storage.kubernetes.io/is-default-class';
/** On a StorageClass or a snapshot class: whether its snapshots are one moment of the volume. */
export const ATOMIC_ANNOTATION = 'quiesce.dev/atomic';

/** A VolumeSnapshotClass or a VolumeGroupSnapshotClass. */
export interface SnapshotClass {
  readonly name: string;
  readonly driver: string;
  readonly parameters: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A claim as it was looked at before anything is frozen. */
export interface ClaimFacts {
  readonly namespace: string;
  readonly claim: string;
  /** Absent: there is no such claim. */
  readonly uid?: string;
  readonly bound: boolean;
  readonly deleting: boolean;
  /** Why it is not bound, for people. */
  readonly phase?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly volume?: {
    readonly name: string;
    /** Absent: it is not a CSI volume. */
    readonly driver?: string;
    readonly handle?: string;
    /** The kind of its source: `nfs`, `hostPath`. */
    readonly source: string;
  };
  /** What the StorageClass declares with {@link ATOMIC_ANNOTATION}. */
  readonly declared?: string;
  readonly bytes?: number;
  /** What it is, to make it anew. */
  readonly record?: ClaimRecord;
  /** The pods that mount it. */
  readonly pods: readonly string[];
}

export interface VolumeFacts {
  readonly claims: readonly ClaimFacts[];
  readonly classes: readonly SnapshotClass[];
  /** Empty where group snapshots are not served, not wanted or not allowed. */
  readonly groupClasses: readonly SnapshotClass[];
  /** The user's choices: driver to class. */
  readonly choices: ReadonlyMap<string, string>;
}

/** A reason not to begin. */
export interface Obstacle extends RunProblem {
  readonly code: ErrorCode;
}

/** A claim that is bound to a volume of a CSI driver. */
interface Bound extends Omit<PlannedClaim, 'snapshotClass' | 'atomic'> {
  readonly facts: ClaimFacts;
}

/** What a run will cut, and what keeps it from beginning. */
export function planVolumes(facts: VolumeFacts): {
  readonly plan: VolumePlan;
  readonly obstacles: readonly Obstacle[];
} {
  const [bound, unbound] = parted(facts.claims.map(boundOf));
  const unused = unusedChoices(facts, bound);
  const group = groupClassFor(facts, bound);
  if (group !== undefined && !('code' in group)) {
    const claims = bound.map((one) => plannedWith(one, group));
    const all = [...notesOn(claims), ...unused];
    return { plan: { claims, group: true, notes: all }, obstacles: unbound };
  }
  const [claims, without] = parted(bound.map((one) => withClass(one, facts)));
  const notes = [...notesOn(claims), ...unused, ...(group === undefined ? [] : [group])];
  return {
    plan: { claims, group: false, notes },
    obstacles: distinct([...unbound, ...without]),
  };
}

function boundOf(facts: ClaimFacts): Bound | Obstacle {
  const { namespace, claim, uid, volume, pods, bytes, record } = facts;
  const named = `${claim} in ${namespace}`;
  if (uid === undefined) return obstacle('CLAIM_NOT_BOUND', `There is no claim ${named}.`);
  if (facts.deleting) return obstacle('CLAIM_NOT_BOUND', `The claim ${named} is being deleted.`);
  if (!facts.bound || volume === undefined) {
    return obstacle('CLAIM_NOT_BOUND', `The claim ${named} is ${facts.phase ?? 'not bound'}.`);
  }
  const { driver, handle } = volume;
  if (driver === undefined) {
    const text = `The volume of the claim ${named} is ${volume.source}, not of a CSI driver.`;
    return obstacle('VOLUME_NOT_SNAPSHOTTABLE', text);
  }
  const known = {
    ...(handle !== undefined && { handle }),
    ...(bytes !== undefined && { bytes }),
    ...(record !== undefined && { record }),
  };
  return { facts, namespace, claim, uid, driver, pods, ...known };
}

function withClass(bound: Bound, all: VolumeFacts): PlannedClaim | Obstacle {
  const chosen = chooseClass(bound.facts, bound.driver, all);
  if (isObstacle(chosen)) return chosen;
  const refused = refusedParameters(bound.driver, chosen.parameters);
  if (refused.length === 0) return plannedWith(bound, chosen);
  const text = `${bound.driver} refuses ${refused.join(', ')} of the VolumeSnapshotClass ${chosen.name}.`;
  return obstacle('SNAPSHOT_CLASS_PARAMETERS', text);
}

function plannedWith({ facts, ...bound }: Bound, chosen: SnapshotClass): PlannedClaim {
  const declared = [facts.declared, chosen.annotations[ATOMIC_ANNOTATION]];
  return { ...bound, snapshotClass: chosen.name, atomic: atomicOf(bound.driver, declared) };
}

/** The claim's own word first, then the user's, then Velero's label, the default, and the only one. */
function chooseClass(
  facts: ClaimFacts,
  driver: string,
  all: VolumeFacts,
): SnapshotClass | Obstacle {
  const name = wantedClass(facts, driver, all);
  const mine = all.classes.filter((one) => one.driver === driver);
  const where = `the claim ${facts.claim} in ${facts.namespace}`;
  if (name !== undefined) {
    const found = all.classes.find((one) => one.name === name);
    if (found?.driver === driver) return found;
    const why = found === undefined ? 'does not exist' : `is for ${found.driver}`;
    const text = `The VolumeSnapshotClass ${name}, chosen for ${where}, ${why}; its driver is ${driver}.`;
    return obstacle('CLAIM_WITHOUT_CLASS', text);
  }
  if (mine.length === 0) {
    return obstacle(
      'CLAIM_WITHOUT_CLASS',
      `No VolumeSnapshotClass is for ${driver}, the driver of ${where}.`,
    );
  }
  const found =
    only(mine.filter(({ labels }) => labels[VELERO_CLASS] === 'true')) ??
    only(mine.filter(({ annotations }) => annotations[DEFAULT_CLASS] === 'true')) ??
    only(mine);
  if (found !== undefined) return found;
  const names = mine.map((one) => one.name).join(', ');
  return obstacle(
    'SNAPSHOT_CLASS_AMBIGUOUS',
    `${driver} has several VolumeSnapshotClasses: ${names}.`,
  );
}

/** The class that the claim names, or that the user chose for its driver. */
function wantedClass(
  { annotations }: ClaimFacts,
  driver: string,
  { choices }: Pick<VolumeFacts, 'choices'>,
): string | undefined {
  return annotations[CLASS_ANNOTATION] ?? annotations[VELERO_CLASS] ?? choices.get(driver);
}

/** A misspelt driver must not leave its volumes with another class without a word. */
function unusedChoices({ choices }: VolumeFacts, claims: readonly Bound[]): readonly RunProblem[] {
  const drivers = new Set(claims.map(({ driver }) => driver));
  return [...choices]
    .filter(([driver]) => !drivers.has(driver))
    .map(([driver, name]) => ({
      code: 'SNAPSHOT_CLASS_UNUSED',
      message: `The class ${name} was chosen for ${driver}, and no claim is of that driver.`,
      ...(drivers.size > 0 && { hint: `The claims are of ${[...drivers].join(', ')}.` }),
    }));
}

/** `undefined`: no group snapshot is possible. A problem: one would be, but for what it says. */
function groupClassFor(
  facts: VolumeFacts,
  claims: readonly Bound[],
): SnapshotClass | RunProblem | undefined {
  const { groupClasses } = facts;
  if (claims.length < 2) return undefined;
  const driver = only([...new Set(claims.map((one) => one.driver))]);
  const place = only([...new Set(claims.map((one) => one.namespace))]);
  if (driver === undefined || place === undefined || lacksGroups(driver)) return undefined;
  const mine = groupClasses.filter((one) => one.driver === driver);
  if (mine.length === 0) return undefined;
  const wanted = new Set(claims.map((one) => wantedClass(one.facts, driver, facts)));
  if (!wanted.has(undefined) || wanted.size > 1) return chosenGroupClass([...wanted], mine);
  const found =
    only(mine.filter(({ labels }) => labels[VELERO_GROUP_CLASS] === 'true')) ??
    only(mine.filter(({ annotations }) => annotations[DEFAULT_GROUP_CLASS] === 'true')) ??
    only(mine);
  const names = mine.map(({ name }) => name).join(', ');
  if (found === undefined) {
    return {
      code: 'GROUP_CLASS_AMBIGUOUS',
      message: `${driver} has several VolumeGroupSnapshotClasses (${names}), so each volume gets a snapshot of its own.`,
      hint: `Label one of them ${VELERO_GROUP_CLASS}=true.`,
    };
  }
  return unlessRefused(found);
}

/** Who chose a class gets it, also where it is not one for groups. */
function chosenGroupClass(
  wanted: readonly (string | undefined)[],
  classes: readonly SnapshotClass[],
): SnapshotClass | RunProblem {
  const found = classes.find(({ name }) => name === only(wanted));
  if (found !== undefined) return unlessRefused(found);
  const names = wanted.filter((one) => one !== undefined).join(', ');
  return {
    code: 'GROUP_CLASS_NOT_CHOSEN',
    message: `Each volume gets a snapshot of its own: ${names} was chosen for claims, and no VolumeGroupSnapshotClass of that name is for all of them.`,
    hint: `For one snapshot of all, choose one of ${classes.map(({ name }) => name).join(', ')} for all claims, or none.`,
  };
}

function unlessRefused(chosen: SnapshotClass): SnapshotClass | RunProblem {
  const refused = refusedParameters(chosen.driver, chosen.parameters);
  if (refused.length === 0) return chosen;
  const code = 'GROUP_CLASS_PARAMETERS';
  return { code, message: `${chosen.driver} refuses ${refused.join(', ')} of ${chosen.name}.` };
}

/** A driver that is known to copy live files stays so, whatever is declared. */
function atomicOf(driver: string, declared: readonly (string | undefined)[]): Atomic {
  const known = cutsAtOnce(driver);
  if (known === false || declared.includes('false')) return false;
  return known === true || declared.includes('true') ? true : 'unknown';
}

function notesOn(claims: readonly PlannedClaim[]): readonly RunProblem[] {
  const drivers = (atomic: Atomic): readonly string[] => [
    ...new Set(claims.filter((one) => one.atomic === atomic).map((one) => one.driver)),
  ];
  return [
    ...drivers(false).map((driver) => ({
      code: 'COPIES_LIVE_FILES',
      message: `${driver} copies the files of a running database one by one, so the run cannot be proven.`,
      hint: 'Use a storage class whose snapshots are one moment of the volume.',
    })),
    ...drivers('unknown').map((driver) => ({
      code: 'DRIVER_UNKNOWN',
      message: `Whether a snapshot by ${driver} is one moment of the volume is not known.`,
      hint: `Say on the StorageClass what it does: kubectl annotate storageclass NAME ${ATOMIC_ANNOTATION}=true, or =false if it copies live files.`,
    })),
  ];
}

function obstacle(code: ErrorCode, message: string): Obstacle {
  return { code, message };
}

function only<T>(list: readonly T[]): T | undefined {
  return list.length === 1 ? list[0] : undefined;
}

function isObstacle(one: object): one is Obstacle {
  return 'code' in one;
}

function parted<T extends object>(all: readonly (T | Obstacle)[]): [T[], Obstacle[]] {
  const bad = all.filter(isObstacle);
  return [all.filter((one): one is T => !isObstacle(one)), bad];
}

function distinct(all: readonly Obstacle[]): readonly Obstacle[] {
  return [...new Map(all.map((one) => [one.message, one])).values()];
}
