import { QuiesceError } from '../../errors.ts';
import { formatDuration } from '../../lib/duration.ts';
import type { SnapshotRun } from './document.ts';
import { RunLease } from '../run/lease.ts';
import { Run } from './play.ts';
import { newRunId } from '../run/run-id.ts';
import type { RunOptions, RunParts } from './run-parts.ts';
import { cutMembers } from './scene.ts';

/**
 * One run: plan, checks, Lease, freeze, cut, thaw, ready, record. Whatever happens after the Lease is
 * taken, nothing of this run stays frozen when it resolves or rejects, but for a sidecar that cannot be
 * reached: its own lease ends that freeze.
 *
 * @param signal the user's interruption
 * @throws QuiesceError if it ended before anything was frozen; later failures are in the document
 */
export async function runSnapshot(
  parts: RunParts,
  options: RunOptions,
  signal: AbortSignal,
): Promise<SnapshotRun> {
  const stop = new AbortController();
  const end = stopWith(stop, options.timeoutMs, signal);
  try {
    options.progress('planning');
    const scene = await parts.look(stop.signal);
    const members = cutMembers(scene);
    const volumes = parts.volumesOf(scene);
    options.progress('looking at volumes and classes');
    const plan = await volumes.preflight(
      members.map(({ member }) => member),
      stop.signal,
    );
    const { group, namespaces } = scene.plan;
    const id = newRunId(group, new Date());
    const place = { namespace: options.leaseNamespace ?? namespaces[0] ?? 'default', group };
    options.progress('waiting for the Lease of the application');
    const lease = await RunLease.take(parts.api, place, id, stop.signal);
    lease.lost.addEventListener('abort', () => stop.abort(lease.lost.reason));
    try {
      const run = new Run({ parts, options, stop: stop.signal, id, scene, members, volumes, plan });
      return await run.play(lease);
    } finally {
      await lease.release();
    }
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    end();
  }
}

/** Aborts for the first of: the user, the time. @returns what ends the watch */
function stopWith(stop: AbortController, timeoutMs: number, signal: AbortSignal): () => void {
  const interrupted = (): void =>
    stop.abort(new QuiesceError('RUN_INTERRUPTED', 'A signal ended the run.'));
  if (signal.aborted) interrupted();
  signal.addEventListener('abort', interrupted);
  const late = setTimeout(() => {
    const text = `The run was not done within ${formatDuration(timeoutMs)}.`;
    stop.abort(new QuiesceError('RUN_TOO_LATE', text, { hint: 'Raise --timeout.' }));
  }, timeoutMs);
  return () => {
    clearTimeout(late);
    signal.removeEventListener('abort', interrupted);
  };
}
