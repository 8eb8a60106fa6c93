import { QuiesceError } from '../../errors.ts';
import { lookUntil } from '../../lib/deadline.ts';
import { type ObjectApi, PODS } from '../api/objects.ts';
import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { CONTAINER } from '../objects/names.ts';
import { remove } from '../restore/volumes/remove.ts';
import type { Copy, CopyPlan } from './copies.ts';
import { GATE, GATE_CONTAINER, isolationGate, REACHED_EXIT } from './gate.ts';
import type { Container, PodSpec } from '../objects/pod.ts';
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
    await runProbe(api, pod, namespace, progress, signal);
  }
}

const RESTRICTED = {
  securityContext: {
    runAsUser: 65_532,
    runAsNonRoot: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  },
  resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '1', memory: '256Mi' } },
};

/** The same for a whole application, whose pods have no gate of their own. @throws as proveIsolation */
export async function probeWith(
  api: ObjectApi,
  image: string,
  namespaces: readonly string[],
  { marks, addresses }: { readonly marks: DrillMarks; readonly addresses: readonly string[] },
  progress: (sentence: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const like = { name: GATE_CONTAINER, image, ...RESTRICTED };
  const gate = isolationGate(like, { ...GATE, addresses });
  for (const namespace of namespaces) {
    const pod = podWith({}, gate, namespace, marks);
    await runProbe(api, pod, namespace, progress, signal);
  }
}

async function runProbe(
  api: ObjectApi,
  pod: KubeObject,
  namespace: string,
  progress: (sentence: string) => void,
  signal: AbortSignal,
): Promise<void> {
  await made(api, PODS, pod, signal);
  const end = async (): Promise<End | undefined> => await endOf(api, namespace, progress);
  judge(await lookUntil(end, 500, signal), namespace);
  await remove(api, PODS, { metadata: { name: PROBE, namespace } });
}

/** The gate of a copy as a pod of its own. `undefined`: it has none. */
export function probePod(copy: Copy, namespace: string, marks: DrillMarks): KubeObject | undefined {
  const spec = copy.pod.spec ?? {};
  const gate = spec.initContainers?.find(({ name }) => name === GATE_CONTAINER);
  return gate === undefined ? undefined : podWith(spec, gate, namespace, marks);
}

function podWith(spec: PodSpec, gate: Container, namespace: string, marks: DrillMarks): KubeObject {
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
