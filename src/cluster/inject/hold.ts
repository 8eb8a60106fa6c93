import { HOLD_DIR } from '../../defaults.ts';
import { HOLD_VOLUME, RESTORE_LABEL } from '../objects/names.ts';
import type { Container, Pod, Volume } from '../objects/pod.ts';
import { RESTORE } from '../restore/names.ts';

const FILE = 'release';

/**
 * Whether a staged restore holds the pod in its init container. A backup may have the annotation of an
 * earlier run; Velero's label always names the restore that made the pod.
 */
export function isHeld({ metadata }: Pod): boolean {
  const run = metadata?.annotations?.[RESTORE.hold];
  return run !== undefined && run !== '' && run === metadata?.labels?.[RESTORE_LABEL];
}

/** The init container, which waits for the file once it has prepared the copy. */
export function holding(init: Container): Container {
  return {
    ...init,
    args: [...(init.args ?? []), '--hold-file', `${HOLD_DIR}/${FILE}`],
    volumeMounts: [
      ...(init.volumeMounts ?? []),
      { name: HOLD_VOLUME, mountPath: HOLD_DIR, readOnly: true },
    ],
  };
}

/** The kubelet writes the annotation into the file within about a minute. */
export const HOLD: Volume = {
  name: HOLD_VOLUME,
  downwardAPI: {
    items: [{ path: FILE, fieldRef: { fieldPath: `metadata.annotations['${RESTORE.release}']` } }],
  },
};
