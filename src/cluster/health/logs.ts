import { redactLine } from '../../lib/redact.ts';
import type { ClusterReader } from '../api/reader.ts';
import { each } from '../api/objects.ts';
import { at, type KubeObject, namespaceOf } from '../objects/kube-object.ts';
import { lastFailure, type Part } from './pods/containers.ts';
import { containerKey } from './scene.ts';

/** A container whose last words would help. */
export interface Speaker {
  readonly pod: KubeObject;
  readonly part: Part;
}

const AT_MOST = 40;
const AT_ONCE = 8;
const TAIL = 20;
const BYTES = 32_768;

/** The last lines of containers, without secrets. A log that cannot be read has none. */
export async function readLogs(
  reader: Pick<ClusterReader, 'get'>,
  speakers: readonly Speaker[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = await each(
    speakers.slice(0, AT_MOST),
    async ({ pod, part }): Promise<[string, readonly string[]]> => [
      containerKey(pod, part.name),
      await tail(reader, pod, part),
    ],
    AT_ONCE,
  );
  return new Map(found.filter(([, lines]) => lines.length > 0));
}

async function tail(
  reader: Pick<ClusterReader, 'get'>,
  pod: KubeObject,
  part: Part,
): Promise<readonly string[]> {
  // While it backs off, the kubelet gives the log of the last run by itself.
  const previous =
    at(part.status, 'state', 'running') !== undefined && lastFailure(part) !== undefined;
  const query = new URLSearchParams({
    container: part.name,
    tailLines: String(TAIL),
    limitBytes: String(BYTES),
    ...(previous && { previous: 'true' }),
  });
  const name = pod.metadata?.name ?? '';
  const path = `/api/v1/namespaces/${namespaceOf(pod)}/pods/${name}/log?${query.toString()}`;
  const answer = await reader.get(path).catch(() => undefined);
  if (answer?.status !== 200 || answer.text === undefined) return [];
  return answer.text
    .split('\n')
    .map((line) => redactLine(line))
    .filter((line) => line !== '')
    .slice(-TAIL);
}
