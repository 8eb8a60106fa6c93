import { at, textAt } from '../../objects/kube-object.ts';
import { RUN_VOLUME, STATE_VOLUME } from '../../objects/names.ts';
import type { Volume } from '../../objects/pod.ts';
import { EMPTY_DIR } from '../resources/lost.ts';

/** Sources that hold configuration from elsewhere, never state of the pod. */
const NO_STORES = ['configMap', 'secret', 'projected', 'downwardAPI', 'image', 'gitRepo'];
/** CSI drivers whose inline volumes are certificates, tokens and secrets. */
const SECRET_DRIVERS = /secrets-store|cert-manager|spiffe|shared-?resource|trust|vault|image/;

/** Why no snapshot holds a volume that a pod defines itself. */
export interface VolumeLoss {
  readonly why: string;
  /** Velero's file-system backup can copy it. */
  readonly files: boolean;
}

/** `undefined`: it is no store, or a claim, which is judged by itself. */
export function volumeLoss(volume: Volume): VolumeLoss | undefined {
  if (volume.name === RUN_VOLUME || volume.name === STATE_VOLUME) return undefined;
  const source = Object.keys(volume).find((key) => key !== 'name' && isPresent(volume[key]));
  switch (source) {
    case undefined:
    case 'emptyDir':
      return emptyDirLoss(volume, source);
    case 'hostPath':
      return {
        why: `a hostPath is a folder of its node (${textAt(volume, 'hostPath', 'path') ?? ''})`,
        files: false,
      };
    case 'persistentVolumeClaim':
      return undefined;
    case 'ephemeral':
      return { why: 'a generic ephemeral claim ends with its pod', files: true };
    case 'nfs':
      return {
        why: `nfs: its data is on the server ${textAt(volume, 'nfs', 'server') ?? ''}`,
        files: true,
      };
    case 'csi':
      return inlineLoss(volume);
    default:
      if (NO_STORES.includes(source)) return undefined;
      return {
        why: `an inline ${source} volume is no claim, so nothing snapshots it`,
        files: true,
      };
  }
}

function isPresent(value: unknown): boolean {
  return value !== null && value !== undefined;
}

/** A volume without any source is an emptyDir. */
function emptyDirLoss(volume: Volume, source: string | undefined): VolumeLoss {
  const medium = source === undefined ? undefined : at(volume, 'emptyDir', 'medium');
  if (medium === 'Memory') return { why: 'a tmpfs is memory, and ends with its pod', files: true };
  return { why: EMPTY_DIR, files: true };
}

function inlineLoss(volume: Volume): VolumeLoss | undefined {
  const driver = textAt(volume, 'csi', 'driver') ?? '';
  if (SECRET_DRIVERS.test(driver)) return undefined;
  return { why: `an inline csi volume (${driver}) ends with its pod`, files: true };
}
