import { ObjectApi } from '../cluster/api/objects.ts';
import type { PodConnection } from '../cluster/api/reader.ts';
import type { RestoreProblem } from '../cluster/restore/document.ts';
import { deleteKept, readKept } from '../cluster/restore/from-snapshot/replace/kept.ts';
import { stoppedBy } from '../cluster/restore/from-snapshot/replace/scale.ts';
import { readRestore } from '../cluster/restore/record.ts';
import { formatBytes } from '../cluster/objects/bytes.ts';
import { QuiesceError } from '../errors.ts';
import type { Surface } from './verb.ts';

/** Deletes the volumes that a restore in place has replaced, with what is on the storage. */
export async function deleteReplaced(
  connection: PodConnection,
  run: string,
  surface: Surface,
): Promise<number> {
  const api = new ObjectApi(connection);
  surface.progress.say('looking for the replaced volumes');
  const kept = await readKept(api, run);
  if (kept.length === 0) {
    const hint = `kubectl get pv -l quiesce.dev/replaced-by lists all that restores have replaced.`;
    throw new QuiesceError('RUN_NOT_FOUND', `No volume is kept that the run ${run} has replaced.`, {
      hint,
    });
  }
  const used = kept.filter(({ free }) => !free);
  await deleteKept(api, kept);
  const done = { run, volumes: kept };
  await surface.print(done, () =>
    kept
      .map(({ volume, claim, bytes, free }) => {
        const size = bytes === undefined ? '' : `, ${formatBytes(bytes)}`;
        return free
          ? `deleted: ${volume}, which was ${claim}${size}`
          : `stays: ${volume}, which a claim uses`;
      })
      .join('\n'),
  );
  return used.length > 0 ? 5 : 0;
}

/**
 * For a run that is released. One in place whose workloads are still stopped stays so: its volumes are not
 * all there, and a StatefulSet would make empty ones.
 */
export async function settleRun(
  api: ObjectApi,
  run: string,
  namespaces: readonly string[] | undefined,
  settleBackup: () => Promise<readonly RestoreProblem[]>,
): Promise<readonly RestoreProblem[]> {
  const source = (await readRestore(api, run, namespaces))?.run.source;
  if (source?.kind !== 'snapshot') return await settleBackup();
  const stopped = await stoppedBy(api, run, Object.values(source.namespaces));
  return stopped.map((object) => ({
    code: 'STILL_STOPPED',
    message: 'It is scaled to 0, since its volumes are not all replaced.',
    hint: `Go on with quiesce restore --resume ${run}; or give it its replicas, which its annotation names, once its claims are there.`,
    object,
  }));
}
