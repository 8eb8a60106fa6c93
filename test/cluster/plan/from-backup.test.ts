import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect } from '../../../src/cluster/api/reader.ts';
import { BOUNDS, readContents } from '../../../src/cluster/backup/contents.ts';
import { serviceIn } from '../../../src/cluster/backup/service.ts';
import { type BackupChoice, readBackup } from '../../../src/cluster/backup/read-backup.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import type { Plan } from '../../../src/cluster/plan/document.ts';
import { QuiesceError } from '../../../src/errors.ts';
import { cliPath } from '../../../src/testbed/processes.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { SimulatedApi } from '../../support/simulated-api.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { AFTER, codes, layers, member, object, running, workload } from './support.ts';

const run = promisify(execFile);
const VELERO = '/apis/velero.io/v1/namespaces/velero';
const DB = { image: 'postgres:17', templates: ['data'], sidecar: true };
const secretEnv = [{ secretRef: { name: 'login' } }, { secretRef: { name: 'lost' } }];

/** What Velero would store of a shop whose queue is in a namespace that the backup does not hold. */
const OBJECTS: readonly KubeObject[] = [
  workload('StatefulSet/db', { ...DB, replicas: 1 }),
  running('Pod/db-0', 'StatefulSet/db', { ...DB, templates: [], claims: ['data-db-0'] }),
  {
    ...object('v1', 'PersistentVolumeClaim/data-db-0', { status: { phase: 'Bound' } }),
    metadata: { name: 'data-db-0', namespace: 'shop', uid: 'c' },
  },
  withEnv(workload('Deployment/api', { annotations: AFTER('db, mq/queue'), replicas: 0 })),
  { ...object('v1', 'Secret/login'), data: { password: 'aHVudGVyMg==' } },
];

function withEnv(one: KubeObject): KubeObject {
  const { template } = one['spec'] as {
    template: { metadata: object; spec: { containers: object[] } };
  };
  const containers = template.spec.containers.map((each) => ({ ...each, envFrom: secretEnv }));
  const spec = { ...template.spec, containers };
  return { ...one, spec: { ...(one['spec'] as object), template: { ...template, spec } } };
}

/** GNU tar packs it, not the library that reads it. Velero stores each object twice. */
async function archiveOf(objects: readonly KubeObject[]): Promise<Buffer> {
  const folder = await makeTempDir();
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  await put('metadata/version', '1.1.0\n');
  for (const one of objects) {
    const { namespace = '', name = '' } = one.metadata ?? {};
    const group = one.apiVersion?.includes('/') ? `.${one.apiVersion.split('/')[0]}` : '';
    const kind = `resources/${(one.kind ?? '').toLowerCase()}s${group}`;
    for (const version of ['', 'v1-preferredversion/']) {
      await put(`${kind}/${version}namespaces/${namespace}/${name}.json`, JSON.stringify(one));
    }
  }
  execFileSync('tar', ['czf', 'backup.tar.gz', 'metadata', 'resources'], { cwd: folder });
  return await readFile(join(folder, 'backup.tar.gz'));
}

let api: SimulatedApi;
let respond: (response: ServerResponse) => void;
const storage = createServer((_request, response) => respond(response));
let url = '';

beforeEach(async () => {
  api = await new SimulatedApi().start();
  storage.listen(0, '127.0.0.1');
  await once(storage, 'listening');
  url = `http://127.0.0.1:${(storage.address() as AddressInfo).port}/b?X-Amz-Signature=s3cr3t`;
  backup('nightly', 'Completed');
  api.cluster.intercept = (method, path) => {
    if (method === 'GET' && path.includes('/downloadrequests/')) {
      api.cluster.change(path, { status: { phase: 'Processed', downloadURL: url } });
    }
    return undefined;
  };
  const packed = await archiveOf(OBJECTS);
  respond = (response) => response.end(packed);
});

afterEach(async () => {
  storage.closeAllConnections();
  await new Promise((resolve) => storage.close(resolve));
  await api.stop();
});

function backup(name: string, phase: string): void {
  const spec = { includedNamespaces: ['shop'], storageLocation: 'default' };
  api.cluster.put(`${VELERO}/backups/${name}`, { spec, status: { phase, errors: 2 } });
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function planFrom(name: string, args: readonly string[] = []): Promise<Ended> {
  const words = ['plan', '--from-backup', name, '--kubeconfig', api.kubeconfig, ...args];
  try {
    return { code: 0, ...(await run(process.execPath, [cliPath(), ...words])) };
  } catch (error) {
    return error as Ended;
  }
}

/** As the verb does, in this process: most failures need no program of their own. */
async function refused(more: Partial<BackupChoice> = {}): Promise<QuiesceError> {
  const choice = { name: 'nightly', namespace: 'velero', timeoutMs: 20_000, ...more };
  const connection = connect({ kubeconfig: api.kubeconfig });
  const never = new AbortController().signal;
  const all = { ...choice, progress: () => undefined };
  const error = await readBackup(connection, all, never).then(
    () => new Error('it was read'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof QuiesceError)) throw error;
  expect(JSON.stringify(error.toBody())).not.toContain('s3cr3t');
  return error;
}

describe('quiesce plan --from-backup', () => {
  it('plans what the backup holds, and takes the request for it away', async () => {
    const ended = await planFrom('nightly', ['-o', 'json']);
    expect(ended.stderr).toBe('');
    const found = JSON.parse(ended.stdout) as Plan;
    expect(layers(found)).toEqual([['StatefulSet/db'], ['Deployment/api']]);
    expect(member(found, 'StatefulSet/db')).toMatchObject({
      pods: ['db-0'],
      claims: ['data-db-0'],
      protection: 'sidecar',
    });
    expect(codes(found)).toEqual([
      'NAME_NOT_FOUND shop Deployment/api',
      'SECRET_MISSING shop Deployment/api',
    ]);
    expect(JSON.stringify(found)).toContain('the Secret lost');
    expect(ended.stdout).not.toContain('aHVudGVyMg');
    expect(api.cluster.all('downloadrequests')).toEqual([]);
    const calls = api.cluster.calls.filter((one) => one.startsWith('POST'));
    expect(calls).toEqual([`POST ${VELERO}/downloadrequests`]);
  });

  it('says where it is from, and takes a selection and --velero', async () => {
    const { stdout } = await planFrom('nightly');
    expect(stdout).toContain('(backup nightly)');
    const elsewhere = await planFrom('nightly', ['-n', 'elsewhere']);
    expect([elsewhere.code, elsewhere.stderr]).toEqual([2, expect.stringContaining('NO_MEMBERS')]);
  });

  it('an unknown name in a namespace that the backup holds is an error, as with --whole-cluster', async () => {
    const packed = await archiveOf([
      ...OBJECTS,
      workload('Deployment/web', { annotations: AFTER('dbb') }),
    ]);
    respond = (response) => response.end(packed);
    const { code, stderr } = await planFrom('nightly');
    expect([code, stderr]).toEqual([2, expect.stringContaining('PLAN_UNKNOWN_NAME')]);
  });

  it('a name may be among the kinds that the backup was told to leave out', async () => {
    const packed = await archiveOf([
      ...OBJECTS,
      workload('Deployment/web', { annotations: AFTER('dbb') }),
    ]);
    respond = (response) => response.end(packed);
    api.cluster.change(`${VELERO}/backups/nightly`, { spec: { excludedResources: ['services'] } });
    const { code, stdout } = await planFrom('nightly', ['-o', 'json']);
    expect(code).toBe(0);
    expect(codes(JSON.parse(stdout) as Plan)).toContain('NAME_NOT_FOUND shop Deployment/web');
  });

  it('of a backup that failed in part says so', async () => {
    backup('nightly', 'PartiallyFailed');
    const { stdout } = await planFrom('nightly', ['-o', 'json']);
    expect(codes(JSON.parse(stdout) as Plan)).toContain(
      'BACKUP_PARTIALLY_FAILED velero Backup/nightly',
    );
  });

  it('takes Velero’s copy of files as the backup was told', async () => {
    const volumes = [{ name: 'uploads', emptyDir: {} }];
    const mounts = [
      { name: 'main', image: 'app:1', volumeMounts: [{ name: 'uploads', mountPath: '/srv' }] },
    ];
    const pod = running('Pod/web', '', {});
    const packed = await archiveOf([
      {
        ...pod,
        metadata: { name: 'web', namespace: 'shop', uid: 'w' },
        spec: { containers: mounts, volumes },
      },
    ]);
    respond = (response) => response.end(packed);
    const lost = async () =>
      (JSON.parse((await planFrom('nightly', ['-o', 'json'])).stdout) as Plan).notKept;
    expect(await lost()).toMatchObject([{ volume: 'uploads' }]);
    api.cluster.change(`${VELERO}/backups/nightly`, { spec: { defaultVolumesToFsBackup: true } });
    expect(await lost()).toEqual([]);
  });
});

/** A Service of the cluster, whose name nothing outside of it knows. */
function service(ready = true): void {
  const { port } = storage.address() as AddressInfo;
  api.cluster.put('/api/v1/namespaces/velero/services/minio', {
    spec: {
      ports: [
        { name: 'console', port: 9_001 },
        { name: 'api', port: 9_000 },
      ],
    },
  });
  const slices = '/apis/discovery.k8s.io/v1/namespaces/velero/endpointslices';
  api.cluster.put(`${slices}/minio-x`, {
    metadata: { namespace: 'velero', labels: { 'kubernetes.io/service-name': 'minio' } },
    ports: [
      { name: 'console', port: 1 },
      { name: 'api', port },
    ],
    endpoints: [
      { conditions: { ready: false }, targetRef: { kind: 'Pod', name: 'minio-0' } },
      { conditions: { ready }, targetRef: { kind: 'Pod', name: 'minio-1' } },
    ],
  });
  api.pods.set('velero/minio-1', { port });
  url = 'http://minio.velero.svc:9000/b?X-Amz-Signature=s3cr3t';
}

describe('a storage that only the cluster knows', () => {
  it.each(['minio.velero', 'minio.velero.svc', 'minio.velero.svc.cluster.local'])(
    'as %s is read through the API server, with the name that its signature is for',
    async (host) => {
      service();
      url = `http://${host}:9000/b?X-Amz-Signature=s3cr3t`;
      const hosts: (string | undefined)[] = [];
      storage.once('request', ({ headers }) => hosts.push(headers.host));
      const { code, stdout, stderr } = await planFrom('nightly');
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toContain('StatefulSet/db');
      expect(hosts).toEqual([`${host}:9000`]);
    },
  );

  it('is read whole, however large, and over TLS', async () => {
    const large = Array.from({ length: 8 }, (_, index) => {
      const annotations = { note: randomBytes(700_000).toString('base64') };
      return workload(`Deployment/big-${index}`, { annotations });
    });
    const packed = await archiveOf([...OBJECTS, ...large]);
    const folder = await makeTempDir();
    await makeCertificates(folder, ['minio.velero.svc']);
    const file = (name: string): Promise<Buffer> => readFile(join(folder, name));
    const [key, cert] = [await file('server.key'), await file('server.crt')];
    const secure = createSecureServer({ key, cert }, (_request, response) => response.end(packed));
    secure.listen(0, '127.0.0.1');
    await once(secure, 'listening');
    service();
    api.pods.set('velero/minio-1', { port: (secure.address() as AddressInfo).port });
    url = 'https://minio.velero.svc:9000/b?X-Amz-Signature=s3cr3t';
    expect((await refused()).hint).toContain('caCert');
    const caCert = (await file('ca.crt')).toString('base64');
    api.cluster.put(`${VELERO}/backupstoragelocations/default`, {
      spec: { objectStorage: { caCert } },
    });
    const { stdout, stderr } = await planFrom('nightly');
    expect([stderr, stdout]).toEqual(['', expect.stringContaining('Deployment/big-7')]);
    secure.closeAllConnections();
    secure.close();
  }, 30_000);

  it('and does not answer there is an error that says what helps', async () => {
    service(false);
    const error = await refused();
    expect(error).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    expect(error.message).toMatch(/minio\.velero\.svc:9000.*no pod that is ready/);
    expect(error.hint).toMatch(/publicUrl.*pods\/portforward/);
    service();
    api.forbidden.add('portforward');
    expect((await refused()).message).toContain('pods/portforward');
    url = 'http://nobody.velero.svc:9000/b?X-Amz-Signature=s3cr3t';
    expect((await refused()).message).toContain('nobody');
    url = 'http://minio.velero.svc:9002/b?X-Amz-Signature=s3cr3t';
    expect((await refused()).message).toContain('no port 9002');
  });

  it('is none if its name is of the Internet, and none if it is an address', () => {
    const seen = (text: string) => serviceIn(new URL(text));
    expect(seen('https://minio.velero.svc/b')).toEqual({
      namespace: 'velero',
      name: 'minio',
      port: 443,
      sure: true,
    });
    expect(seen('http://minio.velero:9000')).toMatchObject({ port: 9_000, sure: false });
    for (const other of ['https://s3.eu-west-1.amazonaws.com', 'http://minio', 'http://[::1]']) {
      expect(seen(other)).toBeUndefined();
    }
    expect(seen('http://127.0.0.1:9000')).toBeUndefined();
  });

  it('and breaks off, or is silent, is an error', async () => {
    service();
    respond = (response) => {
      response.writeHead(200, { 'content-length': '100000' }).write(gzipSync('x'));
      setTimeout(() => response.destroy(), 50);
    };
    expect(await refused()).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    respond = (response) => void response.destroy();
    expect(await refused()).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    respond = () => undefined;
    expect((await refused({ timeoutMs: 1_000 })).hint).toContain('--timeout');
  });
});

describe('a backup that cannot be read is an error', () => {
  it('that it does not exist, with the nearest name', async () => {
    const error = await refused({ name: 'nightli' });
    expect(error).toMatchObject({ exit: 2, code: 'BACKUP_NOT_FOUND' });
    expect(error.hint).toContain('Did you mean nightly?');
    expect(await refused({ namespace: 'backups' })).toMatchObject({
      code: 'BACKUP_NOT_FOUND',
      message: expect.stringContaining('namespace backups') as string,
    });
  });

  it.each(['InProgress', 'Finalizing', 'WaitingForPluginOperations', 'Failed', 'New'])(
    'that it is %s',
    async (phase) => {
      backup('nightly', phase);
      const error = await refused();
      expect(error).toMatchObject({ exit: 2, code: 'BACKUP_NOT_COMPLETED' });
      expect(error.message).toContain(phase);
      expect(api.cluster.calls.filter((one) => one.startsWith('POST'))).toEqual([]);
    },
  );

  it('that the storage cannot be reached from here, with what to do', async () => {
    url = 'http://127.0.0.1:9/b?X-Amz-Signature=s3cr3t';
    const error = await refused();
    expect(error).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    expect(error.message).toContain('127.0.0.1:9');
    expect(error.hint).toContain('publicUrl');
    const { code, stderr } = await planFrom('nightly', ['--velero-namespace', 'velero']);
    expect([code, stderr]).toEqual([3, expect.stringContaining('BACKUP_UNREACHABLE')]);
    expect(stderr).not.toContain('s3cr3t');
    url = 'http://minio.velero.invalid:9000/b?X-Amz-Signature=s3cr3t';
    expect((await refused()).message).toContain('minio.velero.invalid:9000');
    url = 's3://bucket/s3cr3t';
    expect((await refused()).code).toBe('BACKUP_UNREACHABLE');
    expect(api.cluster.all('downloadrequests')).toEqual([]);
  });

  it('that nobody trusts its certificate, unless the storage location has the authority', async () => {
    const folder = await makeTempDir();
    await makeCertificates(folder);
    const file = (name: string): Promise<Buffer> => readFile(join(folder, name));
    const [key, cert] = [await file('server.key'), await file('server.crt')];
    const packed = await archiveOf(OBJECTS);
    const secure = createSecureServer({ key, cert }, (_request, response) => response.end(packed));
    secure.listen(0, '127.0.0.1');
    await once(secure, 'listening');
    url = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/b?X-Amz-Signature=s3cr3t`;
    const error = await refused();
    expect(error.code).toBe('BACKUP_UNREACHABLE');
    expect(error.hint).toContain('caCert');
    const caCert = (await file('ca.crt')).toString('base64');
    const spec = { objectStorage: { caCert } };
    api.cluster.put(`${VELERO}/backupstoragelocations/default`, { spec });
    expect((await planFrom('nightly')).stdout).toContain('StatefulSet/db');
    secure.closeAllConnections();
    secure.close();
  });

  it.each([403, 404, 500])('that the storage answers %i', async (status) => {
    respond = (response) => response.writeHead(status).end('<Error/>');
    const error = await refused();
    expect(error).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    expect(error.message).toContain(String(status));
  });

  it('that the storage breaks off, or falls silent', async () => {
    respond = (response) => {
      response.writeHead(200, { 'content-length': '100000' }).write(gzipSync('x'));
      setTimeout(() => response.destroy(), 50);
    };
    expect(await refused()).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    respond = () => undefined;
    const error = await refused({ timeoutMs: 1_000 });
    expect(error).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    expect(error.hint).toContain('--timeout');
  });

  it('that Velero does not answer, and what is wrong with its storage', async () => {
    api.cluster.intercept = undefined;
    const status = { phase: 'Unavailable', message: 'no such bucket' };
    api.cluster.put(`${VELERO}/backupstoragelocations/default`, { status });
    const error = await refused({ timeoutMs: 1_000 });
    expect(error).toMatchObject({ exit: 3, code: 'BACKUP_UNREACHABLE' });
    expect(error.message).toContain('Unavailable (no such bucket)');
    expect(error.hint).toContain('logs deploy/velero');
    expect(api.cluster.all('downloadrequests')).toEqual([]);
  });

  it('that a right is missing, with a manifest that grants it', async () => {
    const { intercept } = api.cluster;
    api.cluster.intercept = (method, path) =>
      method === 'POST' ? { status: 403, body: { message: 'no' } } : intercept?.(method, path);
    const error = await refused();
    expect(error).toMatchObject({ exit: 3, code: 'FORBIDDEN' });
    expect(error.hint).toMatch(/kind: Role\n.*namespace: velero[^]*downloadrequests.*create/);
  });

  it('that its contents are damaged, or no archive of Velero', async () => {
    const whole = await archiveOf(OBJECTS);
    for (const [what, bytes] of [
      ['half', whole.subarray(0, whole.length / 2)],
      ['text', Buffer.from('<html>not found</html>')],
      ['no tar', gzipSync('not a tar'.repeat(1_000))],
      ['empty', Buffer.alloc(0)],
    ] as const) {
      respond = (response) => response.end(bytes);
      expect(await refused(), what).toMatchObject({ exit: 5, code: 'BACKUP_INVALID' });
    }
  });

  it('that it is larger than memory allows', async () => {
    const whole = await archiveOf(OBJECTS);
    const read = (bounds: object) => readContents(Readable.from([whole]), { ...BOUNDS, ...bounds });
    expect(await read({})).toHaveLength(OBJECTS.length);
    for (const bounds of [{ packed: 100 }, { unpacked: 1_000 }, { kept: 100 }]) {
      await expect(read(bounds)).rejects.toMatchObject({
        code: 'BACKUP_INVALID',
        message: expect.stringContaining('larger than') as string,
      });
    }
  });

  it('that -f is given, too', async () => {
    const { code, stderr } = await planFrom('nightly', ['-f', 'x.yaml']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('exclude each other')]);
  });
});
