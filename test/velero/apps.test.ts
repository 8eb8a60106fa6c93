import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { injectManifest } from '../../src/cluster/inject/manifest.ts';
import { compareSequences } from '../../src/testbed/sequences.ts';
import { CONFIG } from '../support/pods.ts';
import {
  ackedBefore,
  annotated,
  copiedByFile,
  hookAnnotations,
  holdOf,
  type Edit,
  inNamespace,
  leastPrivileged,
  mongodb,
  notInjected,
  onStorageClass,
  ownPsqlHooks,
  ownQuiesceHooks,
  PASTED,
  postgres,
  readLedger,
  redis,
  restricted,
  tablespaceVolume,
  underQuota,
  walVolume,
  whileHeld,
  withFsfreeze,
  wrongPassword,
} from './apps/index.ts';
import { LedgerFile } from './apps/ledger.ts';

interface PodTemplate {
  readonly metadata: { readonly annotations?: Record<string, string> };
  readonly spec: {
    readonly securityContext?: object;
    readonly containers: readonly Container[];
  };
}

interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

/** What the webhook makes of the pods, and its remarks. */
function injected(text: string): {
  readonly template: PodTemplate;
  readonly sidecar: Container | undefined;
  readonly notices: readonly string[];
} {
  const result = injectManifest(text, CONFIG);
  const objects = parseAllDocuments(result.text).map((one) => one.toJS() as Stateful);
  const template = objects.find(({ kind }) => kind === 'StatefulSet')?.spec.template;
  if (!template) throw new Error('no StatefulSet');
  return {
    template,
    sidecar: template.spec.containers.find(({ name }) => name === 'quiesce'),
    notices: result.reports.flatMap(({ notices }) => notices.map(({ code }) => code)),
  };
}

interface Stateful {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: object;
  };
  readonly spec: { readonly template: PodTemplate };
}

const objectsOf = (text: string): Stateful[] =>
  parseAllDocuments(text).map((one) => one.toJS() as Stateful);
const variable = (container: Container | undefined, name: string): string | undefined =>
  container?.env?.find((one) => one.name === name)?.value;

describe('a database of the stories', () => {
  it('is the example of the documentation, byte for byte, unless a story changes it', () => {
    expect(postgres().manifest()).toBe(readFileSync('docs/examples/postgres.yaml', 'utf8'));
    expect(postgres()).toMatchObject({ namespace: 'shop', pods: ['db-0'], claims: ['data-db-0'] });
  });

  it.each([
    ['postgres', postgres()],
    ['redis', redis()],
    ['mongodb', mongodb()],
  ])('%s is injected without a remark, with both hooks', (engine, app) => {
    const { template, sidecar, notices } = injected(app.manifest());
    expect(app.engine).toBe(engine);
    expect(notices).toEqual([]);
    expect(variable(sidecar, 'QUIESCE_ENGINE')).toBe(engine);
    const { annotations = {} } = template.metadata;
    expect(annotations['pre.hook.backup.velero.io/container']).toBe('quiesce');
    expect(annotations['post.hook.backup.velero.io/command']).toBe('["quiesce","thaw"]');
  });

  it('has three pods if it is a set, with a claim each', () => {
    const { pods, claims } = mongodb();
    expect(pods).toEqual(['mongo-0', 'mongo-1', 'mongo-2']);
    expect(claims).toEqual(['data-mongo-0', 'data-mongo-1', 'data-mongo-2']);
  });

  it('moves with all its objects into another namespace and on another storage class', () => {
    for (const make of [postgres, redis, mongodb]) {
      const app = make(inNamespace('elsewhere'), onStorageClass('live'));
      const [namespace, ...others] = objectsOf(app.manifest());
      expect(app.namespace).toBe('elsewhere');
      expect(namespace?.metadata.name).toBe('elsewhere');
      expect(new Set(others.map(({ metadata }) => metadata.namespace))).toEqual(
        new Set(['elsewhere']),
      );
      expect(app.manifest()).toContain('storageClassName: live');
    }
  });
});

describe('a variant', () => {
  const of = (...edits: Edit[]): ReturnType<typeof injected> =>
    injected(postgres(...edits).manifest());

  it('without the label is left alone', () => {
    expect(of(notInjected).sidecar).toBeUndefined();
  });

  it('has the role and the login of the documentation, in a restricted namespace', () => {
    const app = postgres(leastPrivileged, restricted);
    const [namespace] = objectsOf(app.manifest());
    expect(namespace?.metadata.labels).toEqual({
      'pod-security.kubernetes.io/enforce': 'restricted',
    });
    const { template, sidecar, notices } = injected(app.manifest());
    expect(notices).toEqual([]);
    expect(template.spec.securityContext).toMatchObject({ runAsNonRoot: true, fsGroup: 999 });
    expect(JSON.stringify(sidecar)).toContain('quiesce-login');
    expect(app.manifest()).toContain('GRANT pg_monitor TO quiesce');
    expect(postgres(wrongPassword).manifest()).toContain('password: wrong');
  });

  it('has WAL or a tablespace on a volume that the sidecar sees, in one volume group', () => {
    const edits = [walVolume({ group: 'db' }), tablespaceVolume({ group: 'db' })];
    const app = postgres(...edits);
    expect(app.claims).toEqual(['data-db-0', 'wal-db-0', 'fast-db-0']);
    expect(app.manifest().match(/velero\.io\/volume-group: db/g)).toHaveLength(3);
    const { sidecar } = injected(app.manifest());
    expect(variable(sidecar, 'QUIESCE_COPY')).toBe('volumes');
    const mounts = sidecar?.volumeMounts.map(({ mountPath }) => mountPath);
    expect(mounts).toContain('/var/lib/postgresql/wal');
    expect(mounts).toContain('/var/lib/postgresql/fast');
    expect(of(walVolume({ copy: 'snapshot', annotations: { a: 'b' } })).notices).toEqual([
      'SeveralVolumes',
    ]);
  });

  it('has all that its pods need before them: they may start as soon as they are applied', () => {
    for (const make of [postgres, redis, mongodb]) {
      const edits = make === postgres ? [leastPrivileged, tablespaceVolume()] : [];
      const kinds = objectsOf(make(...edits, underQuota()).manifest()).map(({ kind }) => kind);
      expect([kinds[0], kinds.at(-1)]).toEqual(['Namespace', 'StatefulSet']);
    }
  });

  it('states limits where a quota requires them', () => {
    const kinds = (app: { manifest(): string }): string[] =>
      objectsOf(app.manifest()).map(({ kind }) => kind);
    expect(kinds(postgres(underQuota()))).toEqual(
      expect.arrayContaining(['ResourceQuota', 'LimitRange']),
    );
    const bare = mongodb(underQuota({ limitRange: false }));
    expect(kinds(bare)).not.toContain('LimitRange');
    expect(bare.manifest().match(/limits:/g)).toHaveLength(2);
  });

  it('is copied file by file, or restricted', () => {
    for (const make of [postgres, redis, mongodb]) {
      expect(injected(make(restricted).manifest()).notices).toEqual([]);
      const { sidecar, notices } = injected(make(copiedByFile({ ttl: '5m' })).manifest());
      expect(notices).toEqual([]);
      expect(variable(sidecar, 'QUIESCE_COPY')).toBe('files');
    }
  });

  it('keeps hooks of the user’s own', () => {
    const psql = of(ownPsqlHooks);
    expect(psql.notices).toEqual(['HooksNotAdded']);
    const command = psql.template.metadata.annotations?.['pre.hook.backup.velero.io/command'];
    expect(command).toContain('psql');
    const { template, notices } = of(ownQuiesceHooks, annotated({ 'quiesce.dev/ttl': '5m' }));
    expect(notices).toEqual([]);
    expect(template.metadata.annotations?.['pre.hook.backup.velero.io/command']).toContain('40s');
  });
});

describe('pasted hooks', () => {
  it('replace all of those that a pod had before', () => {
    const both = hookAnnotations(PASTED.fsfreeze);
    expect(both['pre.hook.backup.velero.io/container']).toBe('fsfreeze');
    expect(both['post.hook.backup.velero.io/command']).toContain('--unfreeze');
    const one = hookAnnotations(PASTED.checkpoint);
    expect(one['pre.hook.backup.velero.io/command']).toContain('CHECKPOINT');
    expect(one['post.hook.backup.velero.io/command']).toBeNull();
    expect(Object.keys(one).toSorted()).toEqual(Object.keys(both).toSorted());
    expect(new Set(Object.values(hookAnnotations(null)))).toEqual(new Set([null]));
  });

  it('come with the privileged container that fsfreeze needs', () => {
    const { template } = injected(postgres(notInjected, withFsfreeze).manifest());
    const container = template.spec.containers.find(({ name }) => name === 'fsfreeze');
    expect(container?.volumeMounts).toEqual([
      { name: 'data', mountPath: '/var/lib/postgresql/data' },
    ]);
  });
});

describe('a ledger', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'quiesce-ledger-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const HEADER = '# {"engine":"redis","clients":2}\n';

  it('has each acknowledgement with its time, also after a second load', async () => {
    const path = join(dir, 'two-loads');
    for (const seq of [1, 2]) {
      const file = await LedgerFile.open(path, { engine: 'redis', clients: 2 });
      file.acknowledged({ client: 1, seq, tookMs: 1.26 });
      await file.close([`error\nin ${seq}`]);
    }
    const ledger = await readLedger(path);
    expect(ledger).toMatchObject({
      engine: 'redis',
      clients: 2,
      trouble: ['error in 1', 'error in 2'],
    });
    expect(ledger.entries.map(({ seq, tookMs }) => [seq, tookMs])).toEqual([
      [1, 1.3],
      [2, 1.3],
    ]);
    expect(Math.abs((ledger.entries[0]?.at ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(ackedBefore(ledger)).toEqual([0, 2]);
  });

  it('is never taken for that of other writers', async () => {
    const path = join(dir, 'other');
    await writeFile(path, HEADER);
    await expect(LedgerFile.open(path, { engine: 'redis', clients: 3 })).rejects.toThrow(
      /2 writers/,
    );
    await writeFile(path, '100 0 1 1.0\n');
    await expect(readLedger(path)).rejects.toThrow(/no header/);
  });

  it('counts only what was acknowledged before the freeze was called, and no half line', async () => {
    const path = join(dir, 'half');
    await writeFile(path, `${HEADER}100 0 1 5.0\n200 0 2 5.0\n150 1 1 5.0\n199 1 2`);
    const file = await LedgerFile.open(path, { engine: 'redis', clients: 2 });
    await file.close([]);
    const ledger = await readLedger(path);
    expect(ackedBefore(ledger, new Date(200))).toEqual([1, 1]);
    expect(ackedBefore(ledger, new Date(201))).toEqual([2, 1]);
  });

  it('shows the waits of writes that the hold delayed, and of no others', async () => {
    const path = join(dir, 'waits');
    const lines = [
      '990 0 1 5.0',
      '1500 0 2 505.0',
      '1510 1 1 3.0',
      '2100 0 3 90.0',
      '2200 1 2 9.0',
    ];
    await writeFile(path, `${HEADER}${lines.join('\n')}\n`);
    const hold = { freezeCalledAt: new Date(1_000), thawedAt: new Date(2_050) };
    expect(whileHeld(await readLedger(path), hold)).toEqual({
      commits: 3,
      p50: 90,
      p99: 505,
      maxMs: 505,
    });
  });
});

describe('the hold of a backup', () => {
  it('is from the first request to the last thaw', () => {
    const [a, b] = ['2026-01-01T00:00:01.000Z', '2026-01-01T00:00:02.000Z'];
    const receipts = [
      { requestedAt: b, thawedAt: null },
      { requestedAt: a, thawedAt: b },
    ];
    expect(holdOf(receipts)).toEqual({ freezeCalledAt: new Date(a), thawedAt: new Date(b) });
    expect(holdOf(receipts.slice(0, 1))).toEqual({ freezeCalledAt: new Date(b) });
    expect(() => holdOf([])).toThrow(/no receipts/);
  });
});

describe('the comparison of sequences', () => {
  const found = (...numbers: number[][]): Set<number>[] => numbers.map((one) => new Set(one));
  const failed = (report: ReturnType<typeof compareSequences>): string[] =>
    report.checks.filter(({ ok }) => !ok).map(({ message }) => message);

  it('finds nothing wrong with all that was acknowledged, and more', () => {
    const report = compareSequences([2, 0], found([1, 2, 3], [1]));
    expect(report).toMatchObject({ rows: 4, beyond: 2, missing: 0, gaps: 0 });
    expect(failed(report)).toEqual([]);
  });

  it('tells a lost end from a gap', () => {
    const ended = compareSequences([4], found([1, 2]));
    expect(ended).toMatchObject({ rows: 2, beyond: 0, missing: 2, gaps: 0 });
    expect(failed(ended)).toEqual(['acknowledged but missing: writer 0 lacks 3–4 of 4']);
    const torn = compareSequences([2], found([1, 2, 4]));
    expect(torn).toMatchObject({ rows: 3, beyond: 1, missing: 0, gaps: 1 });
    expect(failed(torn)).toEqual(['gaps in sequences: writer 0 lacks 3 below 4']);
  });

  it('counts a writer of which nothing is left', () => {
    expect(compareSequences([3, 2], found([1, 2, 3], [])).missing).toBe(2);
    expect(compareSequences([3, 2], []).missing).toBe(5);
  });
});
