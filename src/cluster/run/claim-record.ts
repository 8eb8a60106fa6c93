import {
  annotationsOf,
  at,
  type KubeObject,
  labelsOf,
  textAt,
  textsAt,
} from '../objects/kube-object.ts';

/** On each VolumeSnapshot of a run: what its claim was, as JSON on one line, to make it anew. */
export const CLAIM_ANNOTATION = 'quiesce.dev/claim';

/** What a claim was when it was cut. */
export interface ClaimRecord {
  readonly accessModes: readonly string[];
  readonly volumeMode?: string;
  /** `''`: it was bound by hand. Absent: not known. */
  readonly storageClass?: string;
  /** What it asked for, as a quantity. */
  readonly request?: string;
  /** What it had, as a quantity. */
  readonly capacity?: string;
  /** Of its volume. */
  readonly reclaimPolicy?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Written by Kubernetes, by tools and by runs: they belong to the one object, not to the next of its name. */
const NOT_THE_USERS =
  /^(?:pv\.kubernetes\.io|volume\.kubernetes\.io|volume\.beta\.kubernetes\.io)\/|^kubectl\.kubernetes\.io\/last-applied-configuration$|^velero\.io\/(?:restore-name|backup-name|volume-snapshot-name|dynamic-pv-restore|data-mover)|^quiesce\.dev\/(?:run|verdict|restore|drill|expires|maker|replicas|replaced|undone)/;
/** Together: the annotations of an object hold 256 KiB at most, and a receipt is there, too. */
const LONGEST = 16_384;

/** @param volume the volume that it is bound to */
export function recordOfClaim(claim: KubeObject, volume?: KubeObject): ClaimRecord {
  const [labels, annotations] = [usersOwn(labelsOf(claim)), usersOwn(annotationsOf(claim))];
  const spec = at(claim, 'spec');
  const [mode, storageClass] = [textAt(spec, 'volumeMode'), textAt(spec, 'storageClassName')];
  const request = quantityAt(spec, 'resources', 'requests', 'storage');
  const capacity = quantityAt(claim, 'status', 'capacity', 'storage');
  const policy = textAt(volume, 'spec', 'persistentVolumeReclaimPolicy');
  const record = {
    accessModes: textsAt(spec, 'accessModes'),
    ...(mode !== undefined && { volumeMode: mode }),
    ...(storageClass !== undefined && { storageClass }),
    ...(request !== undefined && { request }),
    ...(capacity !== undefined && { capacity }),
    ...(policy !== undefined && { reclaimPolicy: policy }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
  const whole = { ...record, ...(Object.keys(annotations).length > 0 && { annotations }) };
  return JSON.stringify(whole).length <= LONGEST ? whole : record;
}

/** The labels or annotations that a user has set, which the same claim needs wherever it is made anew. */
export function usersOwn(all: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(all).filter(([key]) => !NOT_THE_USERS.test(key)));
}

/** `undefined`: the object has no record, or one that cannot be read. */
export function claimRecordOn(object: KubeObject | undefined): ClaimRecord | undefined {
  try {
    const parsed = JSON.parse(annotationsOf(object)[CLAIM_ANNOTATION] ?? '') as ClaimRecord;
    const modes = textsAt(parsed, 'accessModes');
    return typeof parsed === 'object' && parsed !== null
      ? { ...parsed, accessModes: modes }
      : undefined;
  } catch {
    return undefined;
  }
}

function quantityAt(object: unknown, ...path: readonly string[]): string | undefined {
  const found = at(object, ...path);
  return typeof found === 'string' || typeof found === 'number' ? String(found) : undefined;
}
