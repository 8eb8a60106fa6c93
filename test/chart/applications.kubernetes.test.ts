import { beforeAll, describe, expect, test } from 'vitest';
import {
  BUILD_TIMEOUT_MS,
  CHART,
  type Helm,
  type Manifest,
  one,
  realHelm,
} from '../support/helm.ts';
import { APPLICATIONS, EVERYTHING } from './values.ts';

let helm: Helm;
let manifests: Manifest[];

beforeAll(async () => {
  helm = await realHelm();
  manifests = await helm.template(...EVERYTHING, ...APPLICATIONS);
}, BUILD_TIMEOUT_MS);

interface CronJob {
  readonly concurrencyPolicy: string;
  readonly suspend: boolean;
  readonly jobTemplate: {
    readonly spec: {
      readonly backoffLimit: number;
      readonly activeDeadlineSeconds: number;
      readonly template: {
        readonly spec: {
          readonly serviceAccountName: string;
          readonly restartPolicy: string;
          readonly containers: readonly { readonly args: readonly string[] }[];
        };
      };
    };
  };
  readonly [field: string]: unknown;
}

function schedule(
  name: string,
  verb = 'snapshot',
): { job: CronJob; args: readonly string[]; account: string } {
  const job = one(manifests, 'CronJob', new RegExp(`-${verb}-${name}$`))['spec'] as CronJob;
  const { containers, serviceAccountName } = job.jobTemplate.spec.template.spec;
  return { job, args: containers[0]?.args ?? [], account: serviceAccountName };
}

const byComponent = (component: string, found = manifests): Manifest[] =>
  found.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === component);

test('by default there is no schedule, drill or exporter, nor a right for them', async () => {
  const defaults = await helm.template();
  expect(byComponent('schedule', defaults)).toEqual([]);
  expect(byComponent('drill', defaults)).toEqual([]);
  expect(byComponent('exporter', defaults)).toEqual([]);
});

describe('a schedule', () => {
  test('with few keys snapshots one namespace, and never runs beside itself', () => {
    const { job, args } = schedule('nightly');
    expect(args).toEqual(['snapshot', '--namespace=shop', '--no-group-snapshot']);
    expect(job).toMatchObject({
      schedule: '0 2 * * *',
      concurrencyPolicy: 'Forbid',
      suspend: false,
      startingDeadlineSeconds: 600,
      jobTemplate: { spec: { backoffLimit: 0, activeDeadlineSeconds: 1_800 } },
    });
    expect(job.jobTemplate.spec.template.spec).toMatchObject({ restartPolicy: 'Never' });
    expect(job).not.toHaveProperty('timeZone');
  });

  test('passes on every key', () => {
    const { job, args } = schedule('weekly');
    expect(args).toEqual([
      'snapshot',
      '--namespace=shop',
      '--namespace=queue',
      '--group=orders',
      '--selector=tier=data',
      '--keep=4',
      '--keep-for=720h',
      '--timeout=10m',
    ]);
    expect(job).toMatchObject({
      timeZone: 'Europe/Berlin',
      startingDeadlineSeconds: 3_600,
      jobTemplate: { spec: { activeDeadlineSeconds: 900 } },
    });
    expect(JSON.stringify(job)).toContain('"limits":{"memory":"1Gi"}');
    expect(schedule('paused').job.suspend).toBe(true);
  });

  test.each([
    [{ namespaces: '{shop}' }, 'shop'],
    [{ namespaces: '{shop,queue}' }, 'queue.shop'],
    [{ namespaces: '{shop}', selector: 'tier=data\\,app in (a)' }, 'shop.tier-data-app-in-a'],
    [{ namespaces: '{shop,queue}', selector: 'tier=data', group: 'orders' }, 'orders'],
  ])('of %j is expected to record its runs as %s', async (keys, group) => {
    const sets = Object.entries({ name: 'one', schedule: '@daily', ...keys }).flatMap(
      ([key, value]) => ['--set', `schedules[0].${key}=${value}`],
    );
    const found = await helm.template(...EVERYTHING, '--set', 'exporter.enabled=true', ...sets);
    expect(JSON.stringify(one(found, 'PrometheusRule'))).toContain(`group=\\"${group}\\"})`);
  });

  test('has an account of its own, bound in the namespaces it names and in no other', () => {
    const accounts = ['nightly', 'weekly', 'paused'].map((name) => schedule(name).account);
    expect(new Set(accounts).size).toBe(3);
    const bound = (name: string): (string | undefined)[] =>
      manifests
        .filter(({ kind }) => kind === 'RoleBinding')
        .filter((one) => JSON.stringify(one['subjects']).includes(`"${schedule(name).account}"`))
        .map(({ metadata }) => metadata.namespace);
    expect(bound('nightly')).toEqual(['shop']);
    expect(bound('weekly')).toEqual(['shop', 'queue']);
    expect(bound('paused')).toEqual(['queue']);
  });

  test('of two releases share no name in an application', async () => {
    const names = async (namespace: string): Promise<string[]> => {
      const found = await helm.template(...APPLICATIONS, '--namespace', namespace);
      return found
        .filter(({ metadata }) => metadata.namespace !== namespace)
        .map(({ kind, metadata }) => `${kind} ${metadata.namespace} ${metadata.name}`);
    };
    const [first, second] = [await names('one'), await names('two')];
    expect(first.length).toBeGreaterThan(8);
    expect(first.filter((name) => second.includes(name))).toEqual([]);
  });

  test('reaches DNS and the API server only', () => {
    const policy = one(manifests, 'NetworkPolicy', /-schedules$/)['spec'] as {
      egress: object[];
      ingress?: object[];
    };
    expect(policy.ingress).toBeUndefined();
    const webhook = one(manifests, 'NetworkPolicy', /-webhook$/)['spec'] as { egress: object[] };
    expect(policy.egress).toEqual(webhook.egress);
  });

  test.each([
    ['two of one name', { name: 'nightly', namespaces: '{a}' }, 'two have the name nightly'],
    ['a namespace twice', { name: 'b', namespaces: '{a,a}' }, 'b names a namespace twice'],
    [
      'a timeout that the Job does not grant',
      { name: 'b', namespaces: '{a}', timeout: '30m' },
      'the timeout of b must be shorter than its activeDeadlineSeconds',
    ],
  ])('is refused for %s', async (_, keys, sentence) => {
    const sets = Object.entries({ schedule: '@daily', ...keys }).flatMap(([key, value]) => [
      '--set',
      `schedules[3].${key}=${value}`,
    ]);
    await expect(helm.template(...APPLICATIONS, ...sets)).rejects.toThrow(sentence);
  });
});

describe('a drill', () => {
  const drill = (name: string): ReturnType<typeof schedule> => schedule(name, 'drill');

  test('with few keys starts the databases of one namespace, and never runs beside itself', () => {
    const { job, args } = drill('nightly');
    expect(args).toEqual(['drill', '--namespace=shop', '--mode=data']);
    expect(job).toMatchObject({
      concurrencyPolicy: 'Forbid',
      suspend: false,
      startingDeadlineSeconds: 600,
      jobTemplate: { spec: { backoffLimit: 0, activeDeadlineSeconds: 7_200 } },
    });
    // It removes what it made before it ends.
    expect(job.jobTemplate.spec.template.spec).toMatchObject({
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 300,
    });
  });

  test('passes on every key', () => {
    const { job, args } = drill('whole');
    expect(args).toEqual([
      'drill',
      '--namespace=shop',
      '--namespace=queue',
      '--group=orders',
      '--selector=tier=data',
      '--mode=application',
      '--velero-namespace=velero',
      '--timeout=20m',
    ]);
    expect(job).toMatchObject({
      timeZone: 'Europe/Berlin',
      startingDeadlineSeconds: 3_600,
      jobTemplate: { spec: { activeDeadlineSeconds: 1_500 } },
    });
    expect(JSON.stringify(job)).toContain('"limits":{"memory":"1Gi"}');
    expect(drill('paused').job.suspend).toBe(true);
  });

  test('does not carry the label by which a drill finds what it made', () => {
    const own = byComponent('drill');
    expect(own.length).toBeGreaterThan(15);
    for (const { metadata } of own) expect(metadata.labels).not.toHaveProperty('quiesce.dev/drill');
    expect(JSON.stringify(own)).not.toContain('"quiesce.dev/drill":');
  });

  test('has an account of its own, which a policy confines', () => {
    const account = drill('nightly').account;
    const policy = one(manifests, 'ValidatingAdmissionPolicy', /-drill-nightly$/);
    expect(JSON.stringify(policy['spec'])).toContain(`:${account}\\"`);
    const binding = one(manifests, 'ValidatingAdmissionPolicyBinding', /-drill-nightly$/);
    expect(binding['spec']).toEqual({
      policyName: policy.metadata.name,
      validationActions: ['Deny'],
    });
  });

  test('reaches DNS and the API server only', () => {
    const policy = one(manifests, 'NetworkPolicy', /-drills$/)['spec'] as { egress: object[] };
    const webhook = one(manifests, 'NetworkPolicy', /-webhook$/)['spec'] as { egress: object[] };
    expect(policy.egress).toEqual(webhook.egress);
  });

  test('gets no rights where no policy can confine it', async () => {
    const old = ['--kube-version', '1.29'];
    await expect(helm.template(...APPLICATIONS, ...old)).rejects.toThrow('Kubernetes 1.30');
    const own = await helm.template(...APPLICATIONS, ...old, '--set', 'rbac.create=false');
    const found = byComponent('drill', own).map(({ kind }) => kind);
    expect(found).not.toContain('ClusterRole');
    expect(found).not.toContain('ValidatingAdmissionPolicy');
    expect(found).toContain('CronJob');
  });

  test.each([
    [
      'two of one name',
      { name: 'nightly', namespaces: '{a}' },
      'drills: two have the name nightly',
    ],
    [
      'the namespace of Velero',
      { name: 'b', namespaces: '{velero}', veleroNamespace: 'velero' },
      'b drills the namespace of Velero',
    ],
    [
      'a timeout that the Job does not grant',
      { name: 'b', namespaces: '{a}', timeout: '120m' },
      'drills: the timeout of b must be shorter than its activeDeadlineSeconds',
    ],
    ['a key of schedules', { name: 'b', namespaces: '{a}', keep: '3' }, 'keep'],
    ['an unknown mode', { name: 'b', namespaces: '{a}', mode: 'all' }, 'mode'],
  ])('is refused for %s', async (_, keys, sentence) => {
    const sets = Object.entries({ schedule: '@daily', ...keys }).flatMap(([key, value]) => [
      '--set',
      `drills[3].${key}=${value}`,
    ]);
    await expect(helm.template(...APPLICATIONS, ...sets)).rejects.toThrow(sentence);
  });
});

test('the notes warn of schedules without the alerts about them, and say what an uninstall leaves', async () => {
  const notes = async (...more: string[]): Promise<string> => {
    const line = ['install', 'quiesce', CHART, '-n', 'quiesce-system', '--dry-run=client'];
    const { stdout } = await helm.run(...line, ...APPLICATIONS, ...more);
    return stdout.slice(stdout.indexOf('NOTES:'));
  };
  expect(await notes('--set', 'exporter.enabled=false')).toContain('WARNING: exporter.enabled');
  const complete = await notes();
  expect(complete).not.toContain('exporter.enabled');
  expect(complete).toContain('-l quiesce.dev/run');
});

describe('the exporter', () => {
  const scraped = (): object =>
    (one(manifests, 'ServiceMonitor', /-exporter$/)['spec'] as { endpoints: [object] })
      .endpoints[0];

  test('is one pod, since two would count each snapshot twice', () => {
    const deployment = one(manifests, 'Deployment', /-exporter$/)['spec'];
    expect(deployment).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
  });

  test('is scraped so that the label namespace stays that of the application', () => {
    expect(scraped()).toMatchObject({ honorLabels: true, port: 'metrics' });
  });

  test('is selected by none of the selectors of the webhook', () => {
    const pods = (name: RegExp): object =>
      (one(manifests, 'Deployment', name)['spec'] as { template: { metadata: { labels: object } } })
        .template.metadata.labels;
    const { selector } = one(manifests, 'Service', /-webhook$/)['spec'] as { selector: object };
    expect(pods(/-webhook$/)).toMatchObject(selector);
    expect(pods(/-exporter$/)).not.toMatchObject(selector);
    const own = one(manifests, 'Service', /-exporter$/)['spec'] as { selector: object };
    expect(pods(/-exporter$/)).toMatchObject(own.selector);
  });

  test('only reads, and of all namespaces only if none is named', async () => {
    const few = await helm.template(...APPLICATIONS, '--set', 'exporter.namespaces={shop,queue}');
    for (const found of [manifests, few]) {
      const rules = byComponent('exporter', found).flatMap(
        (one) => (one['rules'] ?? []) as object[],
      );
      const verbs = rules.flatMap((rule) => (rule as { verbs: string[] }).verbs);
      expect(verbs.filter((verb) => !['get', 'list', 'watch'].includes(verb))).toEqual([]);
    }
    const cluster = (found: Manifest[]): string =>
      JSON.stringify(one(found, 'ClusterRole', /-exporter$/)['rules']);
    expect(cluster(manifests)).toContain('configmaps');
    expect(cluster(few)).not.toContain('configmaps');
    expect(cluster(few)).toContain('"resourceNames":["shop","queue"]');
    const args = JSON.stringify(one(few, 'Deployment', /-exporter$/));
    expect(args).toContain('"--namespace=shop","--namespace=queue"');
  });
});
