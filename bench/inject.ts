// What injection costs the API server for each pod: `npm run bench:inject`. Creates pods on a real API
// server as dry runs, alternately with the label and without. Prints the latencies that the clients see
// and the API server's own measure of the webhook. Exits 1 if the latter is 10 ms per pod or more.
import { inject } from '../src/cluster/inject/inject.ts';
import type { Pod } from '../src/cluster/objects/pod.ts';
import { type ControlPlane, startControlPlane } from '../test/support/kubernetes.ts';
import { CONFIG, goldenNames, goldenPod } from '../test/support/pods.ts';
import { startWebhook } from '../test/support/webhook.ts';
import { restartCleanly } from './support/environment.ts';
import { describeMachine } from './support/machine.ts';

const PODS = 1_000;
const AT_ONCE = 2;
const LIMIT_MS = 10;
const CONFIGURATION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

interface Times {
  readonly p50: number;
  readonly p99: number;
  readonly mean: number;
}

function timesOf(all: readonly number[]): Times {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN;
  return {
    p50: at(0.5),
    p99: at(0.99),
    mean: sorted.reduce((sum, one) => sum + one, 0) / sorted.length,
  };
}

function row(name: string, { p50, p99, mean }: Times): void {
  const cells = [p50, p99, mean].map((ms) => ms.toFixed(2).padStart(9));
  process.stdout.write(`${name.padEnd(44)}${cells.join('')}\n`);
}

/** The pods of the fixtures, without the fields that need other objects to exist. */
function samples(): readonly Pod[] {
  return goldenNames.map((name) => {
    const { metadata, spec } = goldenPod(name);
    const { serviceAccountName: _, ...rest } = { serviceAccountName: '', ...spec };
    const { ownerReferences: __, ...own } = metadata ?? {};
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...own, name: 'bench', namespace: 'bench' },
      spec: rest,
    };
  });
}

function pure(pods: readonly Pod[]): Times {
  const times: number[] = [];
  for (let index = 0; index < PODS; index += 1) {
    const begun = performance.now();
    inject(pods[index % pods.length] as Pod, CONFIG);
    times.push(performance.now() - begun);
  }
  return timesOf(times);
}

function unlabelled({ metadata, ...rest }: Pod): Pod {
  const { 'quiesce.dev/inject': _, ...labels } = metadata?.labels ?? {};
  return { ...rest, metadata: { ...metadata, labels } };
}

async function throughServer(plane: ControlPlane, pods: readonly Pod[]) {
  const [withHook, without]: [number[], number[]] = [[], []];
  let next = 0;
  const one = async (pod: Pod, into: number[]): Promise<void> => {
    const begun = performance.now();
    await plane.must('POST', '/api/v1/namespaces/bench/pods?dryRun=All', pod);
    into.push(performance.now() - begun);
  };
  const worker = async (): Promise<void> => {
    while (next < PODS) {
      const pod = pods[next++ % pods.length] as Pod;
      await one(pod, withHook);
      await one(unlabelled(pod), without);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { withHook: timesOf(withHook), without: timesOf(without) };
}

/** Sum and count of the API server's histogram for the webhook. */
async function measured(plane: ControlPlane): Promise<{ sum: number; count: number }> {
  const { body } = await plane.call<string>('GET', '/metrics');
  const value = (what: string): number => {
    const name = `apiserver_admission_webhook_admission_duration_seconds_${what}`;
    const line = new RegExp(`^${name}\\{[^}]*name="inject.quiesce.dev"[^}]*\\} (\\S+)`, 'm').exec(
      body,
    );
    return Number(line?.[1] ?? 0);
  };
  return { sum: value('sum'), count: value('count') };
}

async function main(): Promise<void> {
  const plane = await startControlPlane();
  try {
    await plane.namespace('bench');
    await plane.must('POST', '/api/v1/namespaces/bench/services', {
      metadata: { name: 'hook' },
      spec: { type: 'ExternalName', externalName: 'localhost' },
    });
    await plane.must('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'hook' },
      subjects: [{ kind: 'User', name: 'webhook', apiGroup: 'rbac.authorization.k8s.io' }],
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'cluster-admin',
      },
    });
    const webhook = await startWebhook(['--service', 'hook', '--namespace', 'bench'], {
      KUBECONFIG: await plane.kubeconfig('webhook'),
    });
    try {
      await plane.must('POST', CONFIGURATION, {
        metadata: { name: 'quiesce' },
        webhooks: [
          {
            name: 'inject.quiesce.dev',
            admissionReviewVersions: ['v1'],
            sideEffects: 'NoneOnDryRun',
            reinvocationPolicy: 'IfNeeded',
            failurePolicy: 'Fail',
            clientConfig: {
              service: { namespace: 'bench', name: 'hook', path: '/mutate', port: webhook.port },
            },
            objectSelector: { matchLabels: { 'quiesce.dev/inject': 'true' } },
            rules: [
              { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
            ],
          },
        ],
      });
      await webhook.ready();
      const pods = samples();
      const [first] = pods;
      const end = Date.now() + 30_000;
      const path = '/api/v1/namespaces/bench/pods?dryRun=All';
      while ((await plane.call('POST', path, first)).status !== 201 && Date.now() < end);
      const before = await measured(plane);
      const { withHook, without } = await throughServer(plane, pods);
      const after = await measured(plane);
      process.stdout.write(`${await describeMachine('.')}\n`);
      const own = (1_000 * (after.sum - before.sum)) / (after.count - before.count);
      process.stdout.write(
        `${`${PODS} pods, milliseconds`.padEnd(44)}${['p50', 'p99', 'mean'].map((name) => name.padStart(9)).join('')}\n`,
      );
      row('the function alone', pure(pods));
      row('created without the label', without);
      row('created with the label', withHook);
      process.stdout.write(
        `The API server's own measure of the webhook: ${own.toFixed(2)} ms per pod (${after.count - before.count} calls); difference of the medians ${(withHook.p50 - without.p50).toFixed(2)} ms.\n`,
      );
      if (!(own < LIMIT_MS)) {
        process.stderr.write(`The webhook takes ${LIMIT_MS} ms per pod or more.\n`);
        process.exitCode = 1;
      }
    } finally {
      await webhook.stop('SIGKILL');
    }
  } finally {
    await plane.stop();
  }
}

const ended = await restartCleanly();
if (ended === undefined) await main();
else process.exitCode = ended;
