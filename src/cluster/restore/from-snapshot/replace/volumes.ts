import { QuiesceError } from '../../../../errors.ts';
import { CLAIMS, each, type ObjectApi, VOLUMES } from '../../../api/objects.ts';
import { annotationsOf, type KubeObject, labelsOf, textAt } from '../../../objects/kube-object.ts';
import { poll } from '../../../run/poll.ts';
import { CLAIM_ANNOTATION, recordOfClaim } from '../../../run/claim-record.ts';
import { RUN_LABELS } from '../../../run/names.ts';
import { RESTORE } from '../../names.ts';
import type { ToMake } from '../../volumes/make.ts';
import { patch, remove } from '../../volumes/remove.ts';
import { REPLACED } from './names.ts';

const PACE = { firstMs: 200, longestMs: 2_000, giveUpMs: 120_000 };

/** The claim that has the name now; `undefined`: none. */
export async function presentClaim(
  api: ObjectApi,
  { volume, target }: ToMake,
): Promise<KubeObject | undefined> {
  return await api.get(CLAIMS, target.namespace, volume.claim);
}

/** It was made by this run: there is nothing to replace any more. */
export function isReplaced(claim: KubeObject | undefined, id: string): boolean {
  return labelsOf(claim)[RESTORE.run] === id;
}

/**
 * Makes sure that the volumes of these claims outlive them, before anything can delete a claim: a
 * StatefulSet may do so by itself when it is scaled down.
 *
 * @throws QuiesceError RESTORE_FAILED
 */
export async function keepVolumes(api: ObjectApi, all: readonly ToMake[]): Promise<void> {
  await each(all, async (one) => {
    const claim = await presentClaim(api, one);
    if (claim === undefined || isReplaced(claim, one.target.id)) return;
    const volume = await volumeOf(api, claim);
    if (volume === undefined) return;
    const policy =
      annotationsOf(volume)[REPLACED.policy] ??
      textAt(volume, 'spec', 'persistentVolumeReclaimPolicy') ??
      'Delete';
    await patch(api, VOLUMES, volume, {
      metadata: {
        labels: { [REPLACED.run]: one.target.id, [RUN_LABELS.group]: one.target.group },
        annotations: {
          [REPLACED.claim]: `${one.target.namespace}/${one.volume.claim}`,
          [REPLACED.policy]: policy,
          [CLAIM_ANNOTATION]: JSON.stringify(recordOfClaim(claim)),
        },
      },
      spec: { persistentVolumeReclaimPolicy: 'Retain' },
    });
    await checkKept(api, claim);
  });
}

/** The volume that the claim is bound to; `undefined`: it has none. @throws QuiesceError RESTORE_FAILED */
async function volumeOf(api: ObjectApi, claim: KubeObject): Promise<KubeObject | undefined> {
  const name = textAt(claim, 'spec', 'volumeName') ?? '';
  if (name === '') return undefined;
  const volume = await api.get(VOLUMES, undefined, name);
  if (textAt(volume, 'spec', 'claimRef', 'uid') === claim.metadata?.uid) return volume;
  const text = `The claim ${claim.metadata?.name} names the volume ${name}, which is not bound to it.`;
  throw new QuiesceError('RESTORE_FAILED', text);
}

/** What the API server has, and not what was asked for. */
async function checkKept(api: ObjectApi, claim: KubeObject): Promise<void> {
  const volume = await volumeOf(api, claim);
  const policy = textAt(volume, 'spec', 'persistentVolumeReclaimPolicy');
  if (volume === undefined || policy === 'Retain') return;
  const text = `The volume ${volume.metadata?.name} would be deleted with its claim: its policy stays ${policy}.`;
  throw new QuiesceError('RESTORE_FAILED', text);
}

/**
 * Deletes the claims, whose volumes stay, and waits until they are gone.
 *
 * @throws QuiesceError RESTORE_FAILED
 */
export async function removeClaims(
  api: ObjectApi,
  all: readonly ToMake[],
  signal: AbortSignal,
): Promise<void> {
  await each(all, async (one) => {
    const claim = await presentClaim(api, one);
    if (claim === undefined || isReplaced(claim, one.target.id)) return;
    await checkKept(api, claim);
    await remove(api, CLAIMS, claim);
    const gone = await poll(
      async () => (await presentClaim(api, one))?.metadata?.uid !== claim.metadata?.uid,
      signal,
      PACE,
    );
    signal.throwIfAborted();
    if (!gone) throw new QuiesceError('RESTORE_FAILED', `The claim ${one.volume.claim} stays.`);
  });
}
