import { each, type ObjectApi, VOLUMES } from '../../../api/objects.ts';
import { annotationsOf, at, type KubeObject, textAt } from '../../../objects/kube-object.ts';
import { bytesOf } from '../../../objects/bytes.ts';
import { setPolicy } from '../../volumes/remove.ts';
import { REPLACED } from './names.ts';

/** A volume that a restore in place has replaced. */
export interface KeptVolume {
  /** The PersistentVolume. */
  readonly volume: string;
  /** The claim that had it, as `NAMESPACE/NAME`. */
  readonly claim: string;
  readonly bytes?: number;
  /** No claim has it. */
  readonly free: boolean;
}

export async function readKept(api: ObjectApi, run: string): Promise<readonly KeptVolume[]> {
  return (await keptBy(api, run)).map(keptOf);
}

function keptOf(volume: KubeObject): KeptVolume {
  const bytes = bytesOf(at(volume, 'spec', 'capacity', 'storage'));
  return {
    volume: volume.metadata?.name ?? '',
    claim: annotationsOf(volume)[REPLACED.claim] ?? '',
    ...(bytes !== undefined && { bytes }),
    free: textAt(volume, 'status', 'phase') === 'Released',
  };
}

async function keptBy(api: ObjectApi, run: string): Promise<readonly KubeObject[]> {
  return (await api.list(VOLUMES, undefined, `${REPLACED.run}=${run}`)) ?? [];
}

/**
 * Lets the storage delete the volumes that no claim has. One that is in use stays.
 *
 * @throws QuiesceError RESTORE_NOT_REMOVED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function deleteKept(api: ObjectApi, kept: readonly KeptVolume[]): Promise<void> {
  const free = new Set(kept.filter((one) => one.free).map(({ volume }) => volume));
  await each(kept, async ({ volume: name }) => {
    const volume = await api.get(VOLUMES, undefined, name);
    // It is looked at once more: meanwhile a claim may have taken it.
    if (volume === undefined || textAt(volume, 'status', 'phase') !== 'Released') return;
    if (free.has(name)) await setPolicy(api, volume, 'Delete');
  });
}
