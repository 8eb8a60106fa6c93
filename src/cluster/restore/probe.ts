import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer } from '../api/reader.ts';
import { type ObjectApi, pathOf, PODS, reasonOf } from '../api/objects.ts';
import { listAt, textAt } from '../objects/kube-object.ts';
import { RESTORE } from './names.ts';

/** An API server learns of a new label, and of a new certificate, a moment later. */
const GIVE_UP_MS = 20_000;
const AGAIN_MS = 500;
/** Several API servers, and several replicas of the webhook, answer in turn. */
const IN_A_ROW = 4;

/**
 * Proves by dry runs that a pod created in the namespace now would be held back.
 *
 * @throws QuiesceError RESTORE_NOT_GATED
 */
export async function proveGates(
  api: ObjectApi,
  run: string,
  namespace: string,
  signal: AbortSignal,
  giveUpMs = GIVE_UP_MS,
): Promise<void> {
  const end = performance.now() + giveUpMs;
  for (let passed = 0; passed < IN_A_ROW;) {
    signal.throwIfAborted();
    const answer = await api.post(`${pathOf(PODS, namespace)}?dryRun=All`, probe(run));
    const gated = listAt(answer.body, 'spec', 'schedulingGates').some(
      (one) => textAt(one, 'name') === RESTORE.gate,
    );
    passed = gated ? passed + 1 : 0;
    if (!gated && performance.now() > end) throw notGated(namespace, answer);
    if (!gated) await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** It never runs. It satisfies the restricted Pod Security Standard, and a quota that asks for resources. */
function probe(run: string): object {
  const few = { cpu: '1m', memory: '1Mi' };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `quiesce-probe-${run.slice(-20).toLowerCase()}`,
      labels: { [RESTORE.probe]: run },
    },
    spec: {
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'probe',
          image: 'quiesce.invalid/probe',
          resources: { requests: few, limits: few },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  };
}

function notGated(namespace: string, answer: ApiAnswer): QuiesceError {
  const admitted = answer.status === 200 || answer.status === 201;
  const why = admitted
    ? 'the webhook was not asked, or sees no run that is alive'
    : reasonOf(answer);
  const text = `Pods in ${namespace} would not be held back: ${why}.`;
  return new QuiesceError('RESTORE_NOT_GATED', text);
}
