import { stringify } from 'yaml';
import { type App, type Edit, annotated, inNamespace, postgres, redis } from '../../apps/index.ts';
import { IMAGES } from '../../images/names.ts';
import type { Stage } from '../../stage/stage.ts';
import { until } from '../../wait.ts';

const PORT = 7_000;

/**
 * A part of the application: it exits with 1 unless everything that it needs takes a connection, and then
 * listens. So a part that starts before what it needs crashes, and the kubelet counts it.
 */
const SCRIPT = `
const net = require('node:net');
const needs = (process.env.NEEDS || '').split(',').filter(Boolean);
const fail = (text) => { console.error(text); process.exit(1); };
const serve = () => process.env.ONCE ? process.exit(0) : setTimeout(
  () => net.createServer((one) => one.end()).listen(${PORT}, () => console.log('serving')),
  Number(process.env.STARTS_IN || 0),
);
let left = needs.length;
if (left === 0) serve();
for (const need of needs) {
  const [host, port] = need.split(':');
  const socket = net.connect({ host, port: Number(port || ${PORT}) });
  socket.setTimeout(3000, () => fail(host + ' does not answer'));
  socket.on('error', (error) => fail(host + ': ' + error.code));
  socket.on('connect', () => { socket.destroy(); if (--left === 0) serve(); });
}
process.on('SIGTERM', () => process.exit(0));
`;

interface PartOptions {
  readonly needs?: string;
  readonly startsInMs?: number;
  readonly replicas?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly podAnnotations?: Readonly<Record<string, string>>;
}

function container(name: string, env: Readonly<Record<string, string>>): object {
  return {
    name,
    image: IMAGES.quiesce,
    imagePullPolicy: 'Never',
    command: ['/nodejs/bin/node', '-e', SCRIPT],
    env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
  };
}

function podOf(name: string, { needs = '', startsInMs = 0 }: PartOptions): object {
  const env = { NEEDS: needs, STARTS_IN: `${startsInMs}` };
  const readinessProbe = { tcpSocket: { port: PORT }, periodSeconds: 1 };
  return {
    terminationGracePeriodSeconds: 1,
    containers: [{ ...container(name, env), readinessProbe }],
  };
}

function workload(
  kind: 'StatefulSet' | 'Deployment',
  name: string,
  options: PartOptions,
): object[] {
  const { replicas = 1, annotations = {}, podAnnotations = {} } = options;
  const labels = { app: name };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { clusterIP: 'None', selector: labels, ports: [{ port: PORT }] },
    },
    {
      apiVersion: 'apps/v1',
      kind,
      metadata: { name, annotations },
      spec: {
        replicas,
        ...(kind === 'StatefulSet' && { serviceName: name }),
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations: podAnnotations },
          spec: podOf(name, options),
        },
      },
    },
  ];
}

/** The databases of the documentation, which start only once `etcd` takes a connection. */
const afterEtcd: Edit = (manifest) => {
  const { spec } = manifest.template;
  const waits = container('needs-etcd', { NEEDS: 'etcd', ONCE: '1' }) as never;
  spec.initContainers = [waits, ...(spec.initContainers ?? [])];
};

export function databases(namespace: string, ...edits: readonly Edit[]): readonly App[] {
  const all = [
    inNamespace(namespace),
    annotated({ 'quiesce.dev/depends-on': 'etcd' }),
    afterEtcd,
    ...edits,
  ];
  return [postgres(...all), redis(...all)];
}

export interface Change {
  readonly [part: string]: PartOptions;
}

/** Everything but the databases: etcd below them, a queue and two applications above, a Job, a CronJob. */
function others(namespace: string, change: Change): string {
  const stage = (name: string) => ({ 'quiesce.dev/stage': name });
  const after = (names: string) => ({ 'quiesce.dev/depends-on': names });
  const objects = [
    ...workload('StatefulSet', 'etcd', {
      startsInMs: 6_000,
      annotations: stage('infrastructure'),
      ...change['etcd'],
    }),
    ...workload('StatefulSet', 'queue', {
      needs: 'db:5432,redis:6379',
      replicas: 2,
      startsInMs: 2_000,
      annotations: stage('messaging'),
      ...change['queue'],
    }),
    ...workload('Deployment', 'orders', {
      needs: 'queue,db:5432',
      replicas: 2,
      annotations: after('queue, db'),
      ...change['orders'],
    }),
    ...workload('Deployment', 'billing', {
      needs: 'queue,redis:6379',
      annotations: after('queue, redis'),
      ...change['billing'],
    }),
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'reindex' },
      spec: {
        template: {
          spec: {
            restartPolicy: 'OnFailure',
            terminationGracePeriodSeconds: 1,
            containers: [container('reindex', { NEEDS: 'queue' })],
          },
        },
      },
    },
    ...[false, true].map((suspend) => ({
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: suspend ? 'paused' : 'nightly' },
      spec: {
        schedule: '0 3 1 1 *',
        suspend,
        jobTemplate: {
          spec: {
            template: {
              spec: { restartPolicy: 'Never', containers: [container('c', { ONCE: '1' })] },
            },
          },
        },
      },
    })),
  ] as { metadata: object }[];
  return objects
    .map((one) => stringify({ ...one, metadata: { ...one.metadata, namespace } }))
    .join('---\n');
}

/** The whole application, up and running. */
export async function deployAll(
  stage: Stage,
  namespace: string,
  apps: readonly App[],
  change: Change = {},
): Promise<void> {
  await stage.tools.tryKubectl(['create', 'namespace', namespace]);
  await stage.tools.apply(others(namespace, change));
  await stage.ready(namespace, ['etcd-0']);
  await Promise.all(apps.map((app) => stage.deploy(app)));
  await stage.ready(namespace, ['queue-0', 'queue-1']);
  const where = ['-n', namespace, '--timeout=240s'];
  for (const name of ['orders', 'billing']) {
    await stage.tools.kubectl(['rollout', 'status', `deployment/${name}`, ...where]);
  }
}

interface PodSeen {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly schedulingGates?: readonly { readonly name: string }[] };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
    readonly initContainerStatuses?: readonly { readonly restartCount: number }[];
  };
}

export async function podsIn(stage: Stage, namespace: string): Promise<readonly PodSeen[]> {
  return (await stage.tools.get<{ items: readonly PodSeen[] }>('pods', '-n', namespace)).items;
}

/** How often a container of each pod has started again; pods without a restart are left out. */
export async function restarts(
  stage: Stage,
  namespace: string,
): Promise<Readonly<Record<string, number>>> {
  const pods = await podsIn(stage, namespace);
  const counts = pods.map(({ metadata, status }): [string, number] => {
    const all = [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])];
    return [metadata.name, all.reduce((sum, { restartCount }) => sum + restartCount, 0)];
  });
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

/** Pods that still wait behind a gate of ours. */
export async function gated(stage: Stage, namespace: string): Promise<readonly string[]> {
  const pods = await podsIn(stage, namespace);
  return pods
    .filter(({ spec }) => spec.schedulingGates?.some(({ name }) => name.startsWith('quiesce.dev/')))
    .map(({ metadata }) => metadata.name)
    .toSorted();
}

export async function whenGated(stage: Stage, namespace: string, wanted: RegExp): Promise<void> {
  await until(`pods wait in ${namespace}`, 180_000, async () => {
    return (await gated(stage, namespace)).some((one) => wanted.test(one));
  });
}

/** What a run leaves on its namespace and its CronJobs. */
export async function judgeNothingLeft(stage: Stage, namespace: string): Promise<void> {
  stage.equal('no pod waits any more', await gated(stage, namespace), []);
  const found = await stage.tools.get<{
    metadata: { labels?: Record<string, string>; annotations?: Record<string, string> };
  }>('namespace', namespace);
  const keys = [found.metadata.labels, found.metadata.annotations]
    .flatMap((one) => Object.keys(one ?? {}))
    .filter((key) => key.startsWith('quiesce.dev/restore'));
  stage.equal('the namespace has no mark any more', keys, []);
  stage.equal('CronJobs are as they were', await suspended(stage, namespace), {
    nightly: false,
    paused: true,
  });
}

export async function suspended(
  stage: Stage,
  namespace: string,
): Promise<Readonly<Record<string, boolean>>> {
  const { items } = await stage.tools.get<{
    items: readonly { metadata: { name: string }; spec: { suspend?: boolean } }[];
  }>('cronjobs', '-n', namespace);
  return Object.fromEntries(
    items.map(({ metadata, spec }) => [metadata.name, spec.suspend ?? false]),
  );
}
