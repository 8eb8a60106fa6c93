import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { annotationsOf, type KubeObject } from '../objects/kube-object.ts';
import type { ApiAnswer } from '../api/reader.ts';
import { type Kind, reasonOf, type ObjectApi } from '../api/objects.ts';
import type { RunName } from './volumes.ts';
import type { RunProblem } from './document.ts';
import { LEASE_ANNOTATION, RUN_LABELS } from '../run/names.ts';

/** Marks who created an object, so that a create whose answer was lost is told from somebody else's. */
const MAKER = 'quiesce.dev/maker';
const TRIES = 4;
const PAUSE_MS = 250;

export interface ToCreate {
  readonly kind: Kind;
  readonly apiVersion: string;
  readonly kindName: string;
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What every object of a run has while it is under way. */
export function pendingMarks({ id, group, lease }: RunName) {
  return {
    labels: { [RUN_LABELS.group]: group, [RUN_LABELS.run]: id, [RUN_LABELS.verdict]: 'pending' },
    annotations: lease === undefined ? {} : { [LEASE_ANNOTATION]: lease },
  };
}

/** Creates an object, once, even if an answer is lost on the way. Never rejects. */
export async function create(
  api: ObjectApi,
  run: RunName,
  { kind, apiVersion, kindName, namespace, name, spec, annotations: more }: ToCreate,
  signal: AbortSignal,
): Promise<KubeObject | RunProblem> {
  const maker = randomUUID();
  const marks = pendingMarks(run);
  const annotations = { ...more, ...marks.annotations, [MAKER]: maker };
  const metadata = { name, namespace, labels: marks.labels, annotations };
  const body = { apiVersion, kind: kindName, metadata, spec };
  let last = 'the run ended';
  for (let count = 0; count < TRIES && !signal.aborted; count++) {
    try {
      const answer = await api.send('POST', kind, { namespace }, body);
      if (answer.status === 201) return answer.body as KubeObject;
      last = reasonOf(answer);
      if (answer.status === 409) {
        const found = await api.get(kind, namespace, name);
        if (found !== undefined && annotationsOf(found)[MAKER] === maker) return found;
        last = `${name} exists already`;
        break;
      }
      if (!mayPass(answer)) break;
    } catch (error) {
      last = (error as Error).message.replace(/\.$/, '');
    }
    await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
  }
  const message = `The ${kindName} ${name} in ${namespace} could not be created: ${last}.`;
  return { code: 'NOT_CREATED', message };
}

function mayPass({ status }: ApiAnswer): boolean {
  return status === 429 || status >= 500;
}
