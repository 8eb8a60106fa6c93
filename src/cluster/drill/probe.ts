import { QuiesceError } from '../../errors.ts';
import { lookUntil } from '../../lib/deadline.ts';
import { type ObjectApi, PODS } from '../api/objects.ts';
import { at, type KubeObject, listAt, textAt } from '../inventory/catalog.ts';
import { CONTAINER } from '../objects/names.ts';
import { remove } from '../restore/volumes/remove.ts';
import type { Copy, CopyPlan } from './copies.ts';
import { GATE_CONTAINER, REACHED_EXIT } from './gate.ts';
import { made } from './make.ts';
import { type DrillMarks, marked } from './marks.ts';

const PROBE = 'quiesce-probe';

/**
 * A pod in each scratch namespace that must reach nobody. Nothing of the application is made before it has
 * ended: where no engine enforces network policies, nothing of it ever is.
 *
 * @throws QuiesceError DRILL_NOT_ISOLATED, RESTORE_NOT_CREATED
 */
export async function proveIsolation(
  api: ObjectApi,
  plan: CopyPlan,
  marks: DrillMarks,
  progress: (sentence: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const [from, namespace] of plan.namespaces) {
    const copy = plan.copies.find((one) => one.namespace === from);
    const pod = copy && probePod(copy, namespace, marks);
    if (pod === undefined) continue;
    await made(api, PODS, pod, signal);
    const status = await lookUntil(async () => await endOf(api, namespace, progress), 500, signal);
    judge(status, namespace);
    await remove(api, PODS, { ...pod, metadata: { ...pod.metadata } });
  }
}

/** The gate of a copy as a pod of its own. `undefined`: it has none. */
export function probePod(copy: Copy, namespace: string, marks: DrillMarks): KubeObject | undefined {
  const spec = copy.pod.spec ?? {};
  const gate = spec.initContainers?.find(({ name }) => name === GATE_CONTAINER);
  if (gate === undefined) return undefined;
  const given = spec as Readonly<Record<string, unknown>>;
  const keys = ['nodeSelector', 'tolerations', 'imagePullSecrets', 'runtimeClassName'];
  const kept = keys.filter((key) => given[key] !== undefined && key !== 'imagePullSecrets');
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: marked(PROBE, namespace, marks),
    spec: {
      ...Object.fromEntries(kept.map((key) => [key, given[key]])),
      ...(given['imagePullSecrets'] !== undefined && {
        imagePullSecrets: given['imagePullSecrets'],
      }),
      containers: [{ ...gate, name: CONTAINER }],
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 0,
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['127.0.0.1'] },
    },
  };
}

interface End {
  readonly exit: number;
  readonly said: string;
}

async function endOf(
  api: ObjectApi,
  namespace: string,
  progress: (sentence: string) => void,
): Promise<End | undefined> {
  const pod = await api.get(PODS, namespace, PROBE);
  const [status] = listAt(pod, 'status', 'containerStatuses');
  const exit = at(status, 'state', 'terminated', 'exitCode');
  if (typeof exit === 'number') {
    return { exit, said: textAt(status, 'state', 'terminated', 'message') ?? '' };
  }
  const waiting = textAt(status, 'state', 'waiting', 'reason');
  const why = waiting === undefined || waiting === 'ContainerCreating' ? '' : `: ${waiting}`;
  progress(`proving that ${namespace} is isolated${why}`);
  return undefined;
}

function judge({ exit, said }: End, namespace: string): void {
  if (exit === 0) return;
  const words = said.trim().replaceAll(/\s+/g, ' ').slice(0, 400);
  if (exit === REACHED_EXIT) {
    const found = /Reached from this pod: [^.]*(?:\.[^ .]+)*/.exec(words)?.[0] ?? words;
    const text = `The network policy of ${namespace} is not enforced. ${found}`;
    throw new QuiesceError('DRILL_NOT_ISOLATED', `${text.replace(/\.$/, '')}.`);
  }
  const text = `The probe of the isolation of ${namespace} did not run (exit code ${exit}): ${words}`;
  throw new QuiesceError('RESTORE_NOT_CREATED', text, {
    hint: 'The sidecar’s image must be of this version: name it with --image.',
  });
}
