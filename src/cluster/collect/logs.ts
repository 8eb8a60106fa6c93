import { redact } from '../../lib/redact.ts';
import { pathOf, PODS } from '../api/objects.ts';
import type { PodConnection } from '../api/reader.ts';

const LOG_BYTES = 512 * 1_024;

/** The end of a log, without secrets; or why there is none. */
export async function logOf(
  connection: Pick<PodConnection, 'get'>,
  namespace: string,
  pod: string,
  container: string | undefined,
): Promise<string> {
  const query = new URLSearchParams({
    tailLines: '1000',
    limitBytes: String(LOG_BYTES),
    ...(container !== undefined && { container }),
  });
  const answer = await connection.get(`${pathOf(PODS, namespace, pod)}/log?${query.toString()}`);
  const text = answer.text ?? JSON.stringify(answer.body ?? {});
  return answer.status === 200 ? redact(text) : `not read: ${answer.status} ${redact(text)}\n`;
}
