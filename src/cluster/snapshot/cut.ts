import { type ObjectApi, SNAPSHOTS, each } from '../api/objects.ts';
import { create } from './create.ts';
import type { RunProblem } from './document.ts';
import { NAMESPACES_ANNOTATION, RUN_LABELS } from '../run/names.ts';
import { objectName } from '../run/object-names.ts';
import { type Made, untilCut, withClaims } from './seen-cut.ts';
import type { CutResult, PlannedClaim, RunName, VolumePlan } from './volumes.ts';

/** More requests at once than elsewhere: databases wait. */
const AT_ONCE = 64;

/** Creates a VolumeSnapshot of each claim, all at once, and waits until each was seen as cut. */
export async function cutEach(
  api: ObjectApi,
  run: RunName,
  { claims }: VolumePlan,
  signal: AbortSignal,
): Promise<CutResult> {
  const places = [...new Set(claims.map(({ namespace }) => namespace))].toSorted();
  const created = await each(
    claims,
    (claim) => createOne(api, run, claim, signal, places),
    AT_ONCE,
  );
  const made = created.filter((one): one is Made => 'expected' in one);
  const refused = created.filter((one): one is RunProblem => 'code' in one);
  const labels = `${RUN_LABELS.run}=${run.id}`;
  // Without one of them the run has failed, so the others need not be waited for.
  const { seen, problems } =
    refused.length > 0
      ? { seen: new Map(), problems: [] }
      : await untilCut(api, made, signal, labels);
  const snapshots = await withClaims(api, made, seen);
  return { run, group: false, snapshots, problems: [...refused, ...problems] };
}

async function createOne(
  api: ObjectApi,
  run: RunName,
  claim: PlannedClaim,
  signal: AbortSignal,
  places: readonly string[],
): Promise<Made | RunProblem> {
  const { namespace, driver, handle } = claim;
  const name = objectName(claim.claim, run);
  const created = await create(
    api,
    run,
    {
      kind: SNAPSHOTS,
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kindName: 'VolumeSnapshot',
      namespace,
      name,
      ...(places.length > 1 && { annotations: { [NAMESPACES_ANNOTATION]: places.join(',') } }),
      spec: {
        volumeSnapshotClassName: claim.snapshotClass,
        source: { persistentVolumeClaimName: claim.claim },
      },
    },
    signal,
  );
  if ('code' in created) return created as RunProblem;
  const uid = created.metadata?.uid ?? '';
  const expected = { namespace, name, uid, claim: claim.claim, driver };
  return { claim, expected: { ...expected, ...(handle !== undefined && { handle }) } };
}
