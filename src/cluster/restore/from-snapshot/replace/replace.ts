import { each, type ObjectApi } from '../../../api/objects.ts';
import type { Plan } from '../../../plan/document.ts';
import { makeVolumes, type ToMake } from '../../volumes/make.ts';
import { scaleDown, scaleUp, untilUnused } from './scale.ts';
import { isReplaced, keepVolumes, presentClaim, removeClaims } from './volumes.ts';

const UNUSED_WITHIN_MS = 600_000;

export interface Replacement {
  /** The id of the run. */
  readonly id: string;
  readonly plan: Plan;
  readonly volumes: readonly ToMake[];
}

/**
 * Replaces the volumes of an application that is there. After a kill at any point it may be called again:
 * what was replaced is known by the label on the new claim, what was scaled by the annotation with the
 * replicas. The volumes that were replaced stay, with the label of the run.
 *
 * @throws QuiesceError RESTORE_FAILED, RESTORE_NOT_CREATED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function replaceAll(
  api: ObjectApi,
  { id, plan, volumes }: Replacement,
  signal: AbortSignal,
): Promise<void> {
  const present = await each(volumes, (one) => presentClaim(api, one));
  if (!present.every((one) => isReplaced(one, id))) {
    await keepVolumes(api, volumes);
    await scaleDown(api, plan, id);
    const claims = new Set(
      volumes.map(({ volume, target }) => `${target.namespace}/${volume.claim}`),
    );
    await untilUnused(api, plan, claims, signal, UNUSED_WITHIN_MS);
    await removeClaims(api, volumes, signal);
    await makeVolumes(api, volumes, signal);
  }
  // The pods come back behind the gates of their layers.
  await scaleUp(api, plan, id);
}
