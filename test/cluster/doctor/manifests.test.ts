import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { cliPath } from '../../../src/testbed/processes.ts';
import { examine } from '../../../src/cluster/doctor/examine.ts';
import type { Diagnosis } from '../../../src/cluster/doctor/report.ts';
import { THEMES } from '../../../src/cluster/doctor/rules/index.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { BROKEN, CLEAN, codes, findingsOf, fixture, inventory, load, namesIn } from './support.ts';

const run = promisify(execFile);

/** Findings that manifests cannot give: expiry by date, answers of sidecars, unreadable kinds. */
const ELSEWHERE =
  /^(?:CERTIFICATE_EXPIR\w+|WEBHOOK_CA_MISMATCH|NOT_LOOKED_AT|PROBE_FAILED|DATABASE_UNREACHABLE|GRANTS_MISSING|LAST_FREEZE_INCONSISTENT|RESTORE_NOT_VERIFIED|RESTORE_UNPROVEN|RESTORE_CONTENT_UNCHECKED|RESTORE_NOT_ASKED)$/;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function doctor(...args: readonly string[]): Promise<Ended> {
  try {
    const done = await run(process.execPath, [cliPath(), 'doctor', ...args]);
    return { code: 0, ...done };
  } catch (error) {
    return error as Ended;
  }
}

describe('for manifests with one mistake each, the doctor', () => {
  const names = namesIn(BROKEN);

  it('has a manifest for every code', () => {
    const all = THEMES.flatMap(({ rules }) => rules.map(({ code }) => code));
    expect(new Set(all).size).toBe(all.length);
    expect(all.filter((code) => !ELSEWHERE.test(code)).toSorted()).toEqual(names.toSorted());
  });

  it.each(names)('finds %s, and nothing else', async (name) => {
    const whole = readFileSync(fixture(name), 'utf8').split('\n')[0]?.includes('whole cluster');
    const { findings } = examine(await load([fixture(name)], whole));
    expect(codes(findings)).toEqual([name]);
    for (const { message, fix, object } of findings) {
      expect(message).toMatch(/^\S.*\.$/s);
      expect(fix).not.toBe('');
      expect(object.name).not.toBe('');
    }
  });

  it('finds the mistakes also in all the manifests together', async () => {
    // One manifest provides what another lacks: Velero, the webhook, a class, a Schedule, a Secret.
    const provided =
      /^(?:VELERO|WEBHOOK|GROUP_CLASS|SECRET)_MISSING$|^NOT_SCHEDULED$|^NO_SCHEDULE$|^RESOURCE_POLICY_MISSING$|^VOLUMES_NOT_COPIED$|^NODE_AGENT_MISSING$|^SNAPSHOT_CLASS_UNLABELLED$|^WEBHOOK_(?:NOT_CALLED|SERVICE_MISSING)$/;
    const seen = codes(examine(await load([BROKEN])).findings);
    expect(seen).toEqual(expect.arrayContaining(names.filter((name) => !provided.test(name))));
  });
});

describe('for annotations that describe an application, the doctor', () => {
  const container = {
    name: 'pg',
    image: 'postgres:17',
    volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
  };
  const workload = (
    above: object,
    template: object,
    labels: object = {},
    image = 'postgres:17',
  ) => ({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'db', annotations: above },
    spec: {
      template: {
        metadata: { labels, annotations: template },
        spec: {
          securityContext: { fsGroup: 999 },
          containers: [image === container.image ? container : { name: 'shop', image }],
        },
      },
      volumeClaimTemplates: [{ metadata: { name: 'data' } }],
    },
  });
  const optedIn = { 'quiesce.dev/inject': 'true' };
  const said = {
    'quiesce.dev/order': '1',
    'quiesce.dev/priority': 'high',
    'quiesce.dev/group': 'shop',
    'quiesce.dev/depends-on': 'cache, other-ns/queue, svc/web',
    'quiesce.dev/stage': 'databases',
    'quiesce.dev/state': 'data=keep',
    'quiesce.dev/verify-sql': 'select 1',
    'quiesce.dev/verify-http': '/healthz',
  };
  const aliases = { 'backup.dependency.order': '1', 'backup.recovery.priority': 'high' };

  it('finds nothing wrong with them on the workload, on its template or on both', () => {
    for (const all of [said, aliases]) {
      for (const [above, template] of [
        [all, {}],
        [{}, all],
        [all, all],
      ] as const) {
        expect(findingsOf([workload(above, template, optedIn)])).toEqual([]);
        expect(findingsOf([workload(above, template, {}, 'acme/shop:1')])).toMatchObject([
          { code: 'ENGINE_UNKNOWN' },
        ]);
      }
    }
  });

  it('does not require the label, and does not read them as a wish for protection', () => {
    for (const [above, template] of [
      [said, {}],
      [{}, said],
    ] as const) {
      expect(codes(findingsOf([workload(above, template)]))).toEqual(['UNPROTECTED']);
    }
    const none = { 'quiesce.dev/freeze': 'none' };
    for (const [above, template] of [
      [none, {}],
      [{}, none],
    ] as const) {
      const { findings, workloads } = examine(inventory([workload(above, template)]));
      expect(findings).toEqual([]);
      expect(workloads).toMatchObject([{ state: 'left-out' }]);
    }
    expect(codes(findingsOf([workload({ 'quiesce.dev/freeze': 'no' }, none)]))).toEqual([
      'ANNOTATIONS_DIFFER',
      'ANNOTATION_IGNORED',
      'UNPROTECTED',
    ]);
  });

  it('never reports an invalid value as an error', () => {
    const bad = Object.fromEntries(Object.keys(said).map((key) => [key, '?!']));
    const found = findingsOf([workload(bad, bad, optedIn)]);
    expect(found.map(({ severity }) => severity)).not.toContain('error');
    expect(codes(found)).toEqual(['ANNOTATION_IGNORED']);
    const { workloads } = examine(inventory([workload(bad, bad, optedIn)]));
    expect(workloads).toMatchObject([{ state: 'opted-in' }]);
    const out = workload(bad, {}, { 'quiesce.dev/inject': 'false' });
    expect(codes(findingsOf([out]))).toEqual(['ANNOTATION_IGNORED']);
  });

  it('still reports a misspelt setting of the sidecar, on the workload or the template', () => {
    const typo = { 'quiesce.dev/coppy': 'files' };
    expect(codes(findingsOf([workload({}, typo, optedIn)]))).toEqual(['ANNOTATION_INVALID']);
    expect(codes(findingsOf([workload(typo, {}, optedIn)]))).toEqual(['ANNOTATION_MISPLACED']);
    expect(codes(findingsOf([workload({}, typo)]))).toEqual(['LABEL_MISSING']);
  });

  it('reports an alias without quotes, which an API server refuses', () => {
    const found = findingsOf([workload({ 'backup.dependency.order': 1 }, {}, optedIn)]);
    expect(codes(found)).toEqual(['VALUE_NOT_TEXT']);
  });
});

describe('for a pod whose volume is a hostPath, the doctor', () => {
  const containers = [
    {
      name: 'pg',
      image: 'postgres:17',
      volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
    },
  ];
  const volumes = [{ name: 'data', hostPath: { path: '/srv' } }];
  const pod = (labels: object, more: readonly object[] = []) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'db', labels },
    spec: { containers: [...more, ...containers], volumes },
  });

  it('reports that nothing protects it', () => {
    expect(findingsOf([pod({})])).toMatchObject(
      [{ code: 'UNPROTECTED', message: /^It runs postgres on the volume data,/ }].map(
        ({ code, message }) => ({ code, message: expect.stringMatching(message) as string }),
      ),
    );
  });

  it('does not mistake an application called quiesce for the sidecar', () => {
    const own = [{ name: 'quiesce', image: 'acme/quiesce-ui:3' }];
    expect(codes(findingsOf([pod({}, own)]))).toEqual(['UNPROTECTED']);
    const labels = { 'quiesce.dev/inject': 'true' };
    expect(codes(findingsOf([pod(labels, own)]))).toEqual(['NOT_INJECTABLE']);
  });
});

describe('for snapshot classes, the doctor', () => {
  it.each([
    ['ebs.csi.aws.com', ['fsFreeze', 'timeout'], ['tagSpecification_1', 'outpostArn']],
    ['pd.csi.storage.gke.io', ['snapshotGroup'], ['storage-locations', 'snapshot-type']],
    ['disk.csi.azure.com', ['fsFreeze'], ['incremental', 'resourceGroup']],
    ['hostpath.csi.k8s.io', [], ['whatever']],
  ])('knows which parameters %s refuses: %j', (driver, refused, taken) => {
    const keys = [...refused, ...taken, 'csi.storage.k8s.io/snapshotter-secret-name'];
    const parameters = Object.fromEntries(keys.map((key) => [key, 'x']));
    const found = findingsOf([
      {
        apiVersion: 'snapshot.storage.k8s.io/v1',
        kind: 'VolumeSnapshotClass',
        metadata: { name: 'c' },
        driver,
        parameters,
      },
    ]);
    const message = `${driver} refuses ${refused.join(', ')}.`;
    expect(found.map((one) => one.message)).toEqual(refused.length > 0 ? [message] : []);
  });
});

describe('for correct manifests, the doctor', () => {
  it('finds nothing in any of them, nor in all of them together', async () => {
    const sets = [[CLEAN], ...namesIn(CLEAN).map((name) => [join(CLEAN, `${name}.yaml`)])];
    for (const paths of sets) {
      expect([paths, examine(await load(paths)).findings]).toEqual([paths, []]);
    }
  });

  it('finds nothing when they are the whole cluster', async () => {
    const { findings, workloads } = examine(await load([CLEAN], true));
    expect(findings).toEqual([]);
    const protectedOnes = workloads.filter(({ state }) => state === 'protected');
    expect(protectedOnes.map(({ object }) => object.name).toSorted()).toEqual([
      'acid-minimal-cluster-0',
      'catalog',
      'db',
      'ledger',
      'my-cluster-name-rs0-0',
      'orders-1',
      'queue',
    ]);
    const left = workloads.filter(({ state }) => state === 'left-out');
    expect(left.map(({ object }) => object.name)).toEqual(['prometheus']);
  });

  it('finds nothing in the example of the docs, before and after quiesce inject', async () => {
    const example = 'docs/examples/postgres.yaml';
    expect(await doctor('-f', example)).toMatchObject({ code: 0 });
    const injected = await run(process.execPath, [
      cliPath(),
      'inject',
      '-f',
      example,
      '--image',
      'quiesce:0.1.0',
    ]);
    const piped = run(process.execPath, [cliPath(), 'doctor', '-f', '-', '-o', 'json']);
    piped.child.stdin?.end(injected.stdout);
    const diagnosis = JSON.parse((await piped).stdout) as Diagnosis;
    expect(diagnosis).toMatchObject({ complete: true, findings: [], scope: 'part' });
    expect(diagnosis.summary.workloads).toMatchObject({ protected: 1, unprotected: 0 });
  });
});

describe('quiesce doctor -f', () => {
  it('prints each problem, its fix, and what it examined', async () => {
    const { code, stdout } = await doctor('-f', fixture('UNPROTECTED'));
    expect(code).toBe(7);
    expect(stdout).toMatch(/^ERROR\s+UNPROTECTED\s+shop StatefulSet\/db\n\s+It runs postgres/);
    expect(stdout).toMatch(/Fix: Put the label quiesce\.dev\/inject: "true" on the pod template/);
    expect(stdout).toMatch(/Examined 1 StatefulSet .*: 1 unprotected\.[^]*1 error\.\n$/);
  });

  it('prints JSON in the documented form', async () => {
    const { code, stdout } = await doctor('-f', fixture('HOOK_PRE_FAILS'), '-o', 'json');
    expect(code).toBe(7);
    expect(JSON.parse(stdout)).toEqual({
      apiVersion: 'quiesce.dev/v1',
      kind: 'Diagnosis',
      source: fixture('HOOK_PRE_FAILS'),
      scope: 'part',
      complete: true,
      summary: {
        looked: { StatefulSet: 1 },
        workloads: {
          protected: 1,
          'opted-in': 0,
          half: 0,
          unprotected: 0,
          'left-out': 0,
          other: 0,
        },
        findings: { error: 0, warning: 1, info: 0 },
      },
      findings: [
        {
          code: 'HOOK_PRE_FAILS',
          severity: 'warning',
          object: 'shop StatefulSet/db',
          kind: 'StatefulSet',
          name: 'db',
          namespace: 'shop',
          pods: [],
          message: expect.any(String) as string,
          fix: expect.any(String) as string,
        },
      ],
      workloads: [
        {
          object: 'shop StatefulSet/db',
          kind: 'StatefulSet',
          name: 'db',
          namespace: 'shop',
          state: 'protected',
        },
      ],
      notLookedAt: [],
    });
  });

  it('fails at findings of the severity in --fail-on or above', async () => {
    const warning = fixture('HOOK_PRE_FAILS');
    expect(await doctor('-f', warning, '--fail-on', 'error')).toMatchObject({ code: 0 });
    const info = fixture('ENGINE_UNKNOWN');
    expect(await doctor('-f', info)).toMatchObject({ code: 0 });
    expect(await doctor('-f', info, '--fail-on', 'info')).toMatchObject({ code: 7 });
  });

  it('never passes manifests that it could not read', async () => {
    for (const path of ['/no/such/file', 'test/cluster/doctor/support.ts', 'test/golden/none']) {
      const { code, stderr, stdout } = await doctor('-f', path);
      expect([path, code, stdout]).toEqual([path, 2, '']);
      expect(stderr).toMatch(/^quiesce: MANIFEST_INVALID: /);
    }
    const elsewhere = await doctor('-f', fixture('UNPROTECTED'), '-n', 'shpo');
    expect(elsewhere).toMatchObject({ code: 2, stdout: '' });
    expect(await doctor('-f', fixture('UNPROTECTED'), '-n', 'shop')).toMatchObject({ code: 7 });
  });

  it('follows links in a folder, and reads each file once', async () => {
    const dir = await makeTempDir();
    try {
      await mkdir(join(dir, '..data'));
      await cp(fixture('UNPROTECTED'), join(dir, '..data', 'db.yaml'));
      await symlink('..data/db.yaml', join(dir, 'db.yaml'));
      await mkdir(join(dir, 'linked'));
      await symlink(fixture('DATA_ON_HOST'), join(dir, 'linked', 'host.yaml'));
      const { findings, looked } = examine(await load([dir]));
      expect(codes(findings)).toEqual(['DATA_ON_HOST', 'UNPROTECTED']);
      expect(looked).toEqual({ StatefulSet: 2 });
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('refuses flags that contradict each other', async () => {
    const wrong = [
      ['--fail-on', 'fatal'],
      ['-o', 'yaml'],
      ['-A', '-n', 'shop'],
      ['--whole-cluster'],
      ['-f', 'x', '--context', 'y'],
      ['-n', 'Shop'],
      ['--nope'],
      ['operand'],
    ];
    for (const args of wrong) {
      const { code, stderr } = await doctor(...args);
      expect([args, code]).toEqual([args, 2]);
      expect(stderr).toMatch(/^quiesce: USAGE: .* Hint: quiesce doctor --help\n$/);
    }
  });

  it('reports that no cluster can be reached', async () => {
    const { code, stderr } = await doctor('--kubeconfig', '/no/such/kubeconfig');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^quiesce: CLUSTER_UNREACHABLE: /);
  });
});

describe('for a volume that comes from elsewhere, the doctor', () => {
  const claimed = (spec: object, annotations: object = {}, more: object = {}) => [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'db', namespace: 'shop' },
      spec,
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'db-0',
        namespace: 'shop',
        labels: { 'quiesce.dev/inject': 'true' },
        annotations,
      },
      spec: {
        securityContext: { runAsUser: 999, fsGroup: 999 },
        containers: [
          {
            name: 'postgres',
            image: 'postgres:17',
            volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'db' } }],
        ...more,
      },
    },
  ];
  const snapshot = { kind: 'VolumeSnapshot', name: 'monday' };
  const found = (...args: Parameters<typeof claimed>) =>
    codes(findingsOf(claimed(...args))).filter((code) => code === 'RESTORE_NOT_PREPARED');

  it.each([
    { dataSource: snapshot },
    { dataSourceRef: snapshot },
    { dataSourceRef: { kind: 'ReplicationDestination', name: 'db' } },
  ])('reports %j', (spec) => {
    expect(found(spec)).toHaveLength(1);
  });

  it('reports nothing if the restore has a name, or if prepare-restore runs', () => {
    const spec = { dataSourceRef: snapshot };
    expect(found({})).toEqual([]);
    expect(found(spec, { 'quiesce.dev/restore-name': 'monday' })).toEqual([]);
    const init = { name: 'prepare', args: ['prepare-restore', '--data', '/data'] };
    expect(found(spec, {}, { initContainers: [init] })).toEqual([]);
  });

  it('reports a mark that only one of init container and sidecar has', () => {
    const args = ['prepare-restore', '--data', '/data', '--restore-mark', '$(MARK)'];
    const sidecar = (env: object[]) => ({ name: 'quiesce', args: ['sidecar'], env });
    const unmarked = (env: object[]) => {
      const [claim, pod] = claimed({}, {}, { initContainers: [{ name: 'prepare', args }] });
      const { containers } = (pod as { spec: { containers: object[] } }).spec;
      containers.push(sidecar(env));
      return codes(findingsOf([claim ?? {}, pod ?? {}])).includes('RESTORE_UNMARKED');
    };
    expect(unmarked([])).toBe(true);
    expect(unmarked([{ name: 'QUIESCE_RESTORE_MARK', value: '$(MARK)' }])).toBe(false);
  });
});
