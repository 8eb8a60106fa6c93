import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { rm } from 'node:fs/promises';
import { start } from '../snapshot/shop.ts';
import type { SimulatedApi } from '../support/simulated-api.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { annotate, breakPod, logs, wholeShop } from './rig.ts';

/** Each is unlike any other text, so that finding it anywhere is a leak. */
const SEEDS = Array.from({ length: 24 }, (_, index) => `s33d${index}x9Qz`);
const [
  IN_SECRET,
  IN_STRING_DATA,
  IN_CONFIG,
  IN_ENV,
  IN_PLAIN_ENV,
  IN_URL,
  IN_ARGS,
  IN_FLAG,
  IN_SCRIPT,
  IN_ANNOTATION,
  IN_APPLIED,
  IN_EVENT,
  IN_LOG,
  IN_LOG_JSON,
  IN_CUSTOM,
  IN_CUSTOM_FILE,
  IN_HEADER,
  IN_VELERO,
  IN_RUN,
  IN_BEARER,
  IN_CONFIG_FILE,
  IN_LIFECYCLE,
  IN_LABEL_URL,
  IN_WEBHOOK_LOG,
] = SEEDS as [string, ...string[]];

function seed({ cluster }: SimulatedApi): void {
  cluster.put('/api/v1/namespaces/shop/secrets/login', {
    data: { password: Buffer.from(IN_SECRET ?? '').toString('base64'), [`key`]: IN_SECRET },
    stringData: { token: IN_STRING_DATA },
  });
  cluster.put('/api/v1/namespaces/shop/configmaps/settings', {
    data: { mode: IN_CONFIG, 'app.conf': `a = 1\nrequirepass ${IN_CONFIG_FILE}\n` },
  });
  cluster.put('/api/v1/namespaces/shop/configmaps/run-1', {
    metadata: { labels: { 'quiesce.dev/report': 'snapshot', 'quiesce.dev/run': 'shop-1' } },
    data: { 'report.json': JSON.stringify({ message: `login postgres://a:${IN_RUN}@db refused` }) },
  });
  const spec = {
    replicas: 1,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        containers: [
          {
            name: 'web',
            image: 'web:1',
            command: ['/bin/sh', '-c', `redis-cli -a ${IN_SCRIPT} ping && run`],
            args: [`--db-password=${IN_ARGS}`, '--token', IN_FLAG],
            env: [
              { name: 'DB_PASSWORD', value: IN_ENV },
              { name: 'SOMETHING', value: IN_PLAIN_ENV },
              { name: 'DATABASE_URL', value: `postgres://app:${IN_URL}@db/shop` },
              { name: 'DB_HOST', value: 'db.shop.svc' },
              { name: 'FROM', valueFrom: { secretKeyRef: { name: 'login', key: 'password' } } },
            ],
            readinessProbe: {
              httpGet: {
                path: '/',
                port: 80,
                httpHeaders: [{ name: 'Authorization', value: `Basic ${IN_HEADER}` }],
              },
            },
            lifecycle: {
              preStop: { exec: { command: ['mysqladmin', '-p', IN_LIFECYCLE, 'shutdown'] } },
            },
          },
        ],
      },
    },
  };
  cluster.put('/apis/apps/v1/namespaces/shop/deployments/web', {
    metadata: {
      annotations: {
        'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ env: IN_APPLIED }),
        'example.com/api-token': IN_ANNOTATION,
        'example.com/origin': `https://me:${IN_LABEL_URL}@git.example/x`,
      },
    },
    spec,
  });
  cluster.put('/apis/postgresql.cnpg.io/v1/namespaces/shop/clusters/pg', {
    apiVersion: 'postgresql.cnpg.io/v1',
    kind: 'Cluster',
    spec: {
      instances: 0,
      superuser: { password: IN_CUSTOM },
      postInit: `create role a;\nalter role a password '${IN_CUSTOM_FILE}';`,
    },
  });
  cluster.put('/api/v1/namespaces/shop/events/e1', {
    involvedObject: { kind: 'Pod', name: 'x', uid: 'x' },
    message: `probe failed: GET http://app:${IN_EVENT}@web/ answered 500`,
    type: 'Warning',
  });
  cluster.put('/apis/velero.io/v1/namespaces/velero/backupstoragelocations/default', {
    spec: {
      provider: 'aws',
      config: { region: 'x', secretKey: IN_VELERO },
      credential: { name: 'cloud', key: 'cloud' },
    },
  });
}

async function entriesOf(file: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const unpacking = extract();
  Readable.from(await readFile(file))
    .pipe(createGunzip())
    .pipe(unpacking);
  for await (const entry of unpacking) {
    let text = '';
    for await (const part of entry) text += (part as Buffer).toString();
    found.set(entry.header.name.replace(/^[^/]+\//, ''), text);
  }
  return found;
}

describe('quiesce collect', () => {
  it('writes one file of what support needs, and none of the secrets that stand anywhere', async () => {
    const shop = await wholeShop();
    seed(shop.api);
    breakPod(shop.api, 'db', {
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: { terminated: { exitCode: 1 } },
      restartCount: 2,
    });
    annotate(shop.api, 'cache', { 'quiesce.dev/depends-on': 'db' });
    logs(
      shop.api,
      `{"level":"info","password":"${IN_LOG_JSON}"}\npassword=${IN_LOG}\nAuthorization: Bearer ${IN_BEARER}\ntoken: ${IN_WEBHOOK_LOG}\nFATAL: boom\n`,
    );
    const dir = await makeTempDir();
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const file = join(dir, 'shop.tar.gz');
    const { code, body } = await start(shop.api, ['--file', file], 'collect').ended;
    expect([code, body.kind, body.file]).toEqual([0, 'Collection', file]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const entries = await entriesOf(file);
    expect([...entries.keys()].toSorted()).toEqual(
      expect.arrayContaining([
        'events.json',
        'logs/shop/db-0/db.last.log',
        'objects.json',
        'plan.json',
        'runs.json',
        'secrets.json',
        'sidecars/shop/db-0/log.txt',
        'sidecars/shop/db-0/metadata.json',
        'sidecars/shop/db-0/receipts.json',
        'sidecars/shop/db-0/status.json',
        'snapshots.json',
        'unread.txt',
        'validation.json',
        'velero/backupstoragelocations.json',
        'versions.json',
        'webhook/pods.json',
      ]),
    );
    const all = [...entries].map(([name, text]) => `${name}\n${text}`).join('\n');
    const encoded = SEEDS.flatMap((one) => [one, Buffer.from(one).toString('base64')]);
    expect(encoded.filter((one) => all.includes(one))).toEqual([]);
    // What it is for is still there.
    for (const text of [
      'DB_PASSWORD',
      'secretKeyRef',
      'db.shop.svc',
      '"login"',
      'FATAL: boom',
      'app.conf',
      'git.example',
      'answered 500',
    ]) {
      expect(all).toContain(text);
    }
    expect(JSON.parse(entries.get('secrets.json') ?? '')).toMatchObject([
      { kind: 'Secret', metadata: { name: 'login' }, data: { password: '[redacted]' } },
    ]);
  });

  it('says what it could not read, does the rest, and never writes over a file', async () => {
    const shop = await wholeShop();
    shop.api.cluster.intercept = (method, path) =>
      method === 'GET' && /\/secrets\?|\/events\?/.test(path)
        ? { status: 403, body: { message: 'no' } }
        : undefined;
    const dir = await makeTempDir();
    onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const file = join(dir, 'shop.tar.gz');
    const { code, body } = await start(shop.api, ['--file', file], 'collect').ended;
    expect(code).toBe(0);
    expect(body.unread.join('\n')).toMatch(/secrets: .*list secrets/);
    const entries = await entriesOf(file);
    expect(entries.get('unread.txt')).toMatch(/^events: /m);
    expect(entries.has('validation.json')).toBe(true);
    const again = await start(shop.api, ['--file', file], 'collect').ended;
    expect([again.code, again.body.error.code]).toEqual([2, 'USAGE']);
  });
});
