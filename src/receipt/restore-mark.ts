import type { Receipt } from './receipt.ts';

/**
 * The names of the restores that made a pod, in one text: `,` between names, empty names without meaning. A
 * pod has up to two, from Velero's label and from an annotation, and its template may keep one of them.
 *
 * `null`: no restore made the pod. `undefined`: nobody said whether one did.
 */
export type RestoreMark = string | null | undefined;

/** `$(` is refused: that is a reference which the kubelet did not resolve, and names no restore. */
export const RESTORE_MARK = {
  pattern: /^(?!.*\$\()[\u0021-\u007E]{0,253}$/,
  form: 'must be at most 253 visible ASCII characters, without $(…)',
};

/** The mark as it is compared and recorded: each name once, in order. */
export function parseRestoreMark(text: string | undefined): RestoreMark {
  if (text === undefined) return undefined;
  const names = namesIn(text);
  return names.length === 0 ? null : names.join(',');
}

/**
 * Where the data of a pod comes from, judged by the pod's mark and by a receipt on the volume.
 *
 * `copy`: a restore that is not in the receipt has made the pod. `live`: the volume still belongs to the pod
 * that was frozen, or to its successor. A successor may have lost the label of Velero, so fewer names than in
 * the receipt show no new restore.
 */
export function originOf(
  { restoreMark }: Pick<Receipt, 'restoreMark'>,
  mark: RestoreMark,
): 'copy' | 'live' | 'unknown' {
  if (mark === undefined) return 'unknown';
  return namesFurther(mark, restoreMark ?? null) ? 'copy' : 'live';
}

/** Whether a mark names a restore that an earlier mark lacks. */
export function namesFurther(mark: string | null, earlier: string | null): boolean {
  const before = namesIn(earlier ?? '');
  return namesIn(mark ?? '').some((name) => !before.includes(name));
}

function namesIn(text: string): readonly string[] {
  return [...new Set(text.split(',').filter((name) => name !== ''))];
}
