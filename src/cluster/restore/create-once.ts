import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import { type Kind, type ObjectApi, reasonOf } from '../api/objects.ts';
import { type KubeObject, labelsOf, refOf, refText } from '../objects/kube-object.ts';
import { RESTORE } from './names.ts';

const TRIES = 5;
const PAUSE_MS = 300;

/** `there`: an earlier try of the same run made it. `taken`: another object has its name. */
export type Created = 'made' | 'there' | 'taken';

/**
 * Creates an object that carries the label of the run. A lost answer, or a verb that was killed, does not
 * make it twice.
 *
 * @throws QuiesceError RESTORE_NOT_CREATED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function createOnce(
  api: ObjectApi,
  kind: Kind,
  object: KubeObject,
  signal: AbortSignal,
): Promise<Created> {
  const { namespace, name = '' } = object.metadata ?? {};
  const place = namespace === undefined ? {} : { namespace };
  let last: unknown;
  for (let count = 0; count < TRIES; count += 1) {
    signal.throwIfAborted();
    try {
      const answer = await api.send('POST', kind, place, object);
      if (answer.status === 201) return 'made';
      if (answer.status === 409) {
        const found = await api.get(kind, namespace, name);
        // Whoever had the name is gone by now, or will be: a namespace or an object that is being deleted.
        if (found !== undefined && found.metadata?.deletionTimestamp === undefined) {
          const run = labelsOf(object)[RESTORE.run];
          return run !== undefined && labelsOf(found)[RESTORE.run] === run ? 'there' : 'taken';
        }
      }
      last = notCreated(object, reasonOf(answer));
      const mayPass = answer.status === 409 || answer.status === 429 || answer.status >= 500;
      if (!mayPass) throw last;
    } catch (error) {
      const lost = error instanceof QuiesceError && error.code === 'CLUSTER_UNREACHABLE';
      if (!lost) throw error;
      last = error;
    }
    await sleep(PAUSE_MS * 2 ** count, undefined, { signal }).catch(() => undefined);
  }
  throw last;
}

export function notCreated(object: KubeObject, reason: string): QuiesceError {
  const text = `${refText(refOf(object))} could not be created: ${reason}.`;
  return new QuiesceError('RESTORE_NOT_CREATED', text);
}
