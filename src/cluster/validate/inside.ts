import { abortedWithin } from '../../lib/deadline.ts';
import type { PodConnection } from '../api/reader.ts';
import { type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';

/** What a command in a sidecar's container printed; or why it could not run. */
export type Said =
  | { readonly document: Readonly<Record<string, unknown>> }
  | { readonly refused: string; readonly code?: string };

/** Runs a command of quiesce in the sidecar's container of a pod, and reads the JSON that it prints. */
export async function runInside(
  connection: Pick<PodConnection, 'exec'>,
  pod: KubeObject,
  words: readonly string[],
  withinMs: number,
  signal: AbortSignal,
): Promise<Said> {
  const container = sidecarContainer(pod);
  if (container?.running !== true) return { refused: 'its sidecar does not run' };
  const place = {
    namespace: namespaceOf(pod),
    pod: pod.metadata?.name ?? '',
    container: container.container,
  };
  const limit = abortedWithin(withinMs, signal);
  try {
    const command = ['quiesce', ...words, '-o', 'json'];
    const { stdout, stderr, failure } = await connection.exec(place, command, limit);
    if (failure !== undefined) return { refused: failure };
    const document = parsed(stdout);
    const message = textAt(document, 'error', 'message');
    if (message !== undefined) {
      if (message.startsWith('Unknown verb'))
        return { refused: 'its sidecar is of an older version' };
      const code = textAt(document, 'error', 'code');
      return { refused: message, ...(code !== undefined && { code }) };
    }
    if (document !== undefined) return { document };
    const line = stderr.trim().split('\n')[0] ?? '';
    // An older sidecar reports an unknown verb on stderr.
    if (line.includes('Unknown verb')) return { refused: 'its sidecar is of an older version' };
    return { refused: line === '' ? 'the command ended without an answer' : line };
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return { refused: `no answer within ${withinMs / 1_000} s` };
    return { refused: error instanceof Error ? error.message : String(error) };
  }
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const found = JSON.parse(text) as unknown;
    return typeof found === 'object' && found !== null && !Array.isArray(found)
      ? (found as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
