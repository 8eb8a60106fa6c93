import { redact } from '../../lib/redact.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import type { PodConnection } from '../api/reader.ts';
import { type KubeObject, namespaceOf } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';
import { sidecarAt } from '../run/sidecars.ts';
import { runInside } from '../validate/inside.ts';
import type { Entry } from './archive.ts';
import { logOf } from './logs.ts';

const WITHIN_MS = 20_000;

/** What the sidecar of a pod says and has logged. */
export async function readSidecars(
  connection: PodConnection,
  pod: KubeObject,
  signal: AbortSignal,
): Promise<readonly Entry[]> {
  const found = sidecarContainer(pod);
  if (found === undefined) return [];
  const namespace = namespaceOf(pod);
  const name = pod.metadata?.name ?? '';
  const at = `sidecars/${namespace}/${name}`;
  const { container, port } = found;
  const log = { name: `${at}/log.txt`, text: await logOf(connection, namespace, name, container) };
  if (!found.running) return [log];
  const limit = abortedWithin(WITHIN_MS, signal);
  const sidecar = sidecarAt(connection, { namespace, pod: name, container, port });
  const said = async (file: string, work: () => Promise<unknown>): Promise<Entry> => {
    const answer = await work().catch((error: unknown) => ({
      unread: error instanceof Error ? error.message : String(error),
    }));
    return { name: `${at}/${file}.json`, text: `${redact(JSON.stringify(answer, null, 2))}\n` };
  };
  return [
    log,
    await said('status', () => sidecar.status(limit)),
    await said('metadata', () => sidecar.metadata(limit)),
    await said('receipts', () => runInside(connection, pod, ['receipts'], WITHIN_MS, limit)),
  ];
}
