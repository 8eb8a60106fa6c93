import { beforeEach, describe, expect, it } from 'vitest';
import { ObjectApi } from '../../../src/cluster/api/objects.ts';
import {
  annotationsOf,
  type KubeObject,
  labelsOf,
  listAt,
} from '../../../src/cluster/objects/kube-object.ts';
import type { RestoreRun } from '../../../src/cluster/restore/document.ts';
import { BackupSource, settleBackup } from '../../../src/cluster/restore/from-backup/source.ts';
import { mapPlan } from '../../../src/cluster/restore/mapped.ts';
import { RESTORE } from '../../../src/cluster/restore/names.ts';
import { checkTargets } from '../../../src/cluster/restore/preflight.ts';
import { readRestore } from '../../../src/cluster/restore/record.ts';
import { releaseRun } from '../../../src/cluster/restore/release.ts';
import { runRestore } from '../../../src/cluster/restore/run.ts';
import type { QuiesceError } from '../../../src/errors.ts';
import { part, planFor, shop } from './shop.ts';
import { SimulatedHealth, SimulatedRestore } from './simulated-restore.ts';

const ID = 'shop-20260101000000-abcd';
const TIMES = { durationMs: 1_000, renewEveryMs: 20, lookEveryMs: 5 };
const SIGNAL = new AbortController().signal;
const CRON: readonly KubeObject[] = [false, true].map((suspend) => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name: suspend ? 'paused' : 'nightly', namespace: 'shop' },
  spec: { suspend },
}));
const NAMESPACE: KubeObject = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: {
    name: 'shop',
    labels: {
      'pod-security.kubernetes.io/enforce': 'restricted',
      'kubernetes.io/metadata.name': 'shop',
    },
    annotations: { team: 'shop', [RESTORE.stages]: 'old' },
  },
};

let objects: readonly KubeObject[];
let restore: SimulatedRestore;
let health: SimulatedHealth;
let said: string[];

beforeEach(() => use([...shop(), ...CRON, NAMESPACE]));

function use(backup: readonly KubeObject[]): void {
  objects = backup;
  restore = new SimulatedRestore(backup);
  health = new SimulatedHealth(restore);
  said = [];
}

interface Given {
  readonly to?: string;
  readonly before?: RestoreRun;
  readonly signal?: AbortSignal;
  readonly layerTimeoutMs?: number;
}

async function play({ to = 'shop', before, signal = SIGNAL, layerTimeoutMs = 60_000 }: Given = {}) {
  const api = new ObjectApi(restore.cluster);
  const backup = {
    metadata: { name: 'b1' },
    spec: {},
    status: { startTimestamp: '2026-01-01T00:00:00Z' },
  };
  const source = await BackupSource.of({
    api,
    velero: 'velero',
    backup,
    objects,
    plan: planFor(objects),
  });
  const options = {
    rules: { layerTimeoutMs, requireProof: false },
    timeoutMs: 60_000,
    lookEveryMs: 1,
    leaseTimes: TIMES,
    progress: () => undefined,
    say: (line: string) => void said.push(line),
  };
  const start = { id: ID, namespaces: new Map([['shop', to]]), ...(before && { before }) };
  return await runRestore({ api, health, source }, start, options, signal);
}

const api = (): ObjectApi => new ObjectApi(restore.cluster);
const recorded = async (): Promise<RestoreRun | undefined> =>
  (await readRestore(api(), ID, undefined))?.run;

/** Pods that did not wait. The first layer's need not: it is released when Velero creates them. */
const early = (): readonly string[] => restore.ungated.filter((one) => !one.endsWith('/db-0'));

function pod(name: string, app: string): KubeObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app } } };
}

function nothingLeft(namespace = 'shop'): void {
  const found = restore.namespaceOf(namespace);
  expect(labelsOf(found)[RESTORE.run]).toBeUndefined();
  expect(Object.keys(annotationsOf(found)).filter((key) => key.includes('restore'))).toEqual([]);
  for (const pod of restore.cluster.all('pods')) {
    expect(listAt(pod, 'spec', 'schedulingGates')).toEqual([]);
  }
  const cron = (name: string) =>
    restore.cluster.all('cronjobs').find((one) => one.metadata?.name === name);
  expect(cron('nightly')).toMatchObject({ spec: { suspend: false } });
  expect(annotationsOf(cron('nightly'))).toEqual({});
  expect(cron('paused')).toMatchObject({ spec: { suspend: true } });
  expect(restore.cluster.all('configmaps').map(({ metadata }) => metadata?.namespace)).toEqual([
    namespace,
  ]);
}

describe('a staged restore of a backup', () => {
  it('starts no pod before its turn, and leaves nothing behind', async () => {
    const run = await play();
    expect(run.verdict).toBe('proven');
    expect(early()).toEqual([]);
    expect(health.ready.slice(0, 2)).toEqual(['db', 'queue']);
    expect(run.layers.map(({ members }) => members.map(({ name }) => name))).toEqual([
      ['db'],
      ['queue'],
      ['api', 'web'],
    ]);
    for (const layer of run.layers) expect(layer.startedAt && layer.healthyAt).toBeTruthy();
    expect(run.source).toMatchObject({ kind: 'backup', name: 'b1', namespaces: { shop: 'shop' } });
    expect(run.rtoSeconds).toBeGreaterThanOrEqual(0);
    expect(run.rpoSeconds).toBeGreaterThan(0);
    expect(await recorded()).toEqual(run);
    expect(said).toHaveLength(6);
    nothingLeft();
  });

  it('makes the namespace with the labels and annotations of the backup’s, but for those of a run', async () => {
    await play();
    const { labels, annotations } = restore.namespaceOf('shop')?.metadata ?? {};
    expect(labels).toEqual({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    expect(annotations).toEqual({ team: 'shop' });
  });

  it('restores into another namespace', async () => {
    const run = await play({ to: 'copy' });
    expect(run.verdict).toBe('proven');
    expect(run.members.map(({ namespace }) => namespace)).toEqual(['copy', 'copy', 'copy', 'copy']);
    expect(restore.cluster.all('restores')[0]).toMatchObject({
      spec: { backupName: 'b1', includedNamespaces: ['shop'], namespaceMapping: { shop: 'copy' } },
    });
    expect(early()).toEqual([]);
    nothingLeft('copy');
  });

  it('lets go a pod that its controller makes at any time, once its layer is released', async () => {
    health.say.set('queue', { ready: false });
    let looks = 0;
    const look = health.look.bind(health);
    health.look = async (members) => {
      looks += 1;
      if (looks === 20) {
        const [, again] = part('db', { replicas: 1 });
        restore.cluster.remove('/api/v1/namespaces/shop/pods/db-0');
        restore.create('shop', again as KubeObject);
        restore.create('shop', pod('queue-7', 'queue'));
        restore.create('shop', pod('api-7', 'api'));
      }
      if (looks === 30) health.say.delete('queue');
      return await look(members);
    };
    expect((await play()).verdict).toBe('proven');
    // They belong to released layers; the other one waited, and goes with its own.
    expect(restore.ungated).toEqual(['shop/db-0', 'shop/db-0', 'shop/queue-7']);
    nothingLeft();
  });

  it('restores nothing if the webhook is not asked, or down, and says so', async () => {
    for (const webhook of ['absent', 'down'] as const) {
      use([...shop(), NAMESPACE]);
      restore.webhook = webhook;
      const { proveGates } = await import('../../../src/cluster/restore/probe.ts');
      await expect(proveGates(api(), ID, 'shop', SIGNAL, 50)).rejects.toMatchObject({
        code: 'RESTORE_NOT_GATED',
      });
    }
  });

  it('stops where a layer does not get healthy, keeps everything, and goes on from there', async () => {
    health.say.set('queue', {
      ready: false,
      causes: [
        { code: 'CRASH_LOOP', message: 'It exits.', object: 'shop Pod/queue-0', passing: true },
      ],
    });
    const run = await play({ layerTimeoutMs: 2_000 });
    expect(run.verdict).toBe('failed');
    expect(run.problems).toMatchObject([{ code: 'STOPPED_BEFORE_LAYER' }]);
    expect(run.problems[0]?.hint).toContain(`--resume ${ID}`);
    expect(run.members.find(({ name }) => name === 'queue')?.problems[0]?.code).toBe('CRASH_LOOP');
    expect(labelsOf(restore.namespaceOf('shop'))[RESTORE.run]).toBe(ID);
    expect(health.ready).toEqual(['db']);
    health.say.clear();
    const before = await recorded();
    const done = await play(before && { before });
    expect(done.verdict).toBe('proven');
    expect(done.startedAt).toBe(run.startedAt);
    expect(done.layers[0]).toEqual(run.layers[0]);
    expect(early()).toEqual([]);
    nothingLeft();
  });

  it('goes past a failed member of low priority, and keeps back what depends on it', async () => {
    use([
      ...shop({ queue: { priority: 'low' }, web: { dependsOn: 'queue' } }),
      ...part('site', { dependsOn: 'db' }),
      ...CRON,
      NAMESPACE,
    ]);
    health.say.set('queue', { ready: false });
    const run = await play({ layerTimeoutMs: 2_000 });
    expect(run.verdict).toBe('failed');
    expect(health.ready).toEqual(['db', 'site']);
    expect(run.problems).toMatchObject([{ code: 'MEMBERS_HELD_BACK' }]);
    expect(early()).toEqual([]);
    // A pod that is made anew waits as well.
    const [, web] = part('web');
    restore.cluster.remove('/api/v1/namespaces/shop/pods/web-0');
    restore.create('shop', web as KubeObject);
    expect(early()).toEqual([]);
    const released = await releaseRun(
      api(),
      ID,
      {
        namespaces: undefined,
        settle: async () => await settleBackup(api(), ID, 'velero', () => Promise.resolve()),
        progress: () => undefined,
      },
      SIGNAL,
    );
    expect(released.pods).toBe(2);
    nothingLeft();
  });

  it('is unproven if Velero has failed in part, and fails if Velero did', async () => {
    restore.phase = 'PartiallyFailed';
    const run = await play();
    expect(run.verdict).toBe('unproven');
    expect(run.problems).toMatchObject([{ code: 'VELERO_PARTIALLY_FAILED' }]);
    use([...shop(), NAMESPACE]);
    restore.phase = 'FailedValidation';
    await expect(play()).rejects.toMatchObject({ code: 'RESTORE_FAILED' });
    expect((await recorded())?.verdict).toBeUndefined();
  });

  it('does not wait for Velero before it releases, as a hook in a pod may be what Velero waits for', async () => {
    restore.phase = 'InProgress';
    const look = health.look.bind(health);
    health.look = async (members) => {
      const states = await look(members);
      const path = `/apis/velero.io/v1/namespaces/velero/restores/${ID}`;
      if (health.ready.includes('api'))
        restore.cluster.change(path, { status: { phase: 'Completed' } });
      return states;
    };
    expect((await play()).verdict).toBe('proven');
  });
});

describe('a run that is stopped', () => {
  it('by a signal says how to go on', async () => {
    const stop = new AbortController();
    health.say.set('db', { ready: false });
    const ends = play({ signal: stop.signal });
    restore.before = (method) => {
      if (restore.cluster.all('pods').length > 0 && method === 'GET') stop.abort();
    };
    const error = (await ends.catch((one: unknown) => one)) as QuiesceError;
    expect(error.code).toBe('RUN_INTERRUPTED');
    expect(error.hint).toContain(`quiesce restore --resume ${ID}`);
    restore.before = undefined;
    const run = await recorded();
    expect(run?.verdict).toBeUndefined();
    expect(run?.problems).toMatchObject([{ code: 'RUN_INTERRUPTED' }]);
  });

  /** As after kill -9: from one call on nothing more reaches the API server, also no clean-up. */
  async function killedAt(call: number): Promise<boolean> {
    let calls = 0;
    restore.before = (method, path) => {
      // How often the Lease is renewed depends on time alone.
      if (path.includes('/leases/')) return;
      calls += 1;
      if (calls <= call) return;
      setTimeout(() => stop.abort(), 1);
      throw new Error(`killed before ${method} ${path}`);
    };
    const stop = new AbortController();
    const ends = play({ signal: stop.signal });
    const survived = await ends.then(
      () => true,
      () => false,
    );
    restore.before = undefined;
    return survived;
  }

  it('at any call goes on to the same end, and at any call can be released', async () => {
    let call = 0;
    for (let survived = false; !survived && call < 500; call += 1) {
      use([...shop(), ...CRON, NAMESPACE]);
      survived = await killedAt(call);
      if (survived) break;
      const before = await recorded();
      const again = call % 3 === 2 && before !== undefined;
      if (again) {
        await releaseRun(
          api(),
          ID,
          {
            namespaces: undefined,
            settle: async () => await settleBackup(api(), ID, 'velero', () => Promise.resolve()),
            progress: () => undefined,
          },
          SIGNAL,
        );
        expect((await recorded())?.verdict).toMatch(/unproven|failed|proven/);
        if (restore.cluster.all('cronjobs').length > 0) nothingLeft();
        continue;
      }
      const run = await play(before && { before });
      expect(run.verdict, `killed at call ${call}`).toBe('proven');
      expect(early(), `killed at call ${call}`).toEqual([]);
      nothingLeft();
    }
    expect(call).toBeGreaterThan(25);
  }, 240_000);
});

describe('a target', () => {
  const check = async (to = 'shop') =>
    await checkTargets(api(), mapPlan(planFor(objects), new Map([['shop', to]])), ['velero']);

  it('may be absent, or a namespace without the members, claims and pods of the backup', async () => {
    await expect(check()).resolves.toBeUndefined();
    restore.cluster.put('/api/v1/namespaces/shop', {});
    restore.cluster.put('/apis/apps/v1/namespaces/shop/statefulsets/other', {});
    await expect(check()).resolves.toBeUndefined();
  });

  it('is refused where one of them exists, and names it', async () => {
    restore.cluster.put('/api/v1/namespaces/shop', {});
    for (const path of [
      '/apis/apps/v1/namespaces/shop/statefulsets/db',
      '/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0',
      '/api/v1/namespaces/shop/pods/api-0',
    ]) {
      restore.cluster.put(path, {});
      await expect(check()).rejects.toMatchObject({
        code: 'RESTORE_TARGET_TAKEN',
        message: expect.stringContaining(path.split('/').at(-1) ?? '') as string,
      });
      restore.cluster.remove(path);
    }
  });

  it('is refused while another run restores into it, while it goes away, and where nothing is gated', async () => {
    restore.cluster.put('/api/v1/namespaces/shop', {
      metadata: { labels: { [RESTORE.run]: 'r1' } },
    });
    await expect(check()).rejects.toMatchObject({
      code: 'RUN_UNDER_WAY',
      hint: expect.stringContaining('--release r1') as string,
    });
    restore.cluster.put('/api/v1/namespaces/shop', { metadata: { deletionTimestamp: 'x' } });
    await expect(check()).rejects.toMatchObject({ code: 'RESTORE_TARGET_TAKEN' });
    for (const name of ['kube-system', 'velero']) {
      await expect(check(name)).rejects.toMatchObject({ code: 'RESTORE_TARGET_TAKEN' });
    }
  });
});
