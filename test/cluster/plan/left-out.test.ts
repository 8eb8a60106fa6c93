import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { describePlan } from '../../../src/cluster/plan/describe.ts';
import { veleroObject } from '../../../src/cluster/plan/velero.ts';
import { CLUSTER, codes, member, plan, planned, running, workload } from './support.ts';

const OUT = { 'velero.io/exclude-from-backup': 'true' };
const SET = { image: 'mongo:7', templates: ['data'], sidecar: true, replicas: 3 };
const SCHEDULE = 'apiVersion: velero.io/v1\nkind: Schedule\nmetadata: {name: s}\nspec: {}\n';

function claim(name: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  const metadata = { name, namespace: 'shop', uid: name, labels };
  const spec = { volumeName: `pv-${name}` };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata,
    spec,
    status: { phase: 'Bound' },
  };
}

/** The pod with the claim as its volume `data`. */
function mounting(one: KubeObject, claimName: string): KubeObject {
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName } }];
  return { ...one, spec: { ...(one['spec'] as object), volumes } };
}

function pod(name: string, labels: Readonly<Record<string, string>> = {}): KubeObject {
  return mounting(running(`Pod/${name}`, 'StatefulSet/db', { ...SET, labels }), `data-${name}`);
}

/** Three members of a set, of which the last is backed up. */
const ONE_OF_THREE = [
  workload('StatefulSet/db', SET),
  ...['db-0', 'db-1'].flatMap((name) => [pod(name, OUT), claim(`data-${name}`, OUT)]),
  pod('db-2'),
  claim('data-db-2'),
];
const BOTH = { pods: ['db-0', 'db-1'], claims: ['data-db-0', 'data-db-1'] };
const leftOut = (objects: readonly KubeObject[]) => member(plan(objects), 'StatefulSet/db').leftOut;

describe('what the label velero.io/exclude-from-backup leaves out', () => {
  it('is told with the pods and claims, in notKept, and in the text, and is no problem', () => {
    const found = plan(ONE_OF_THREE);
    expect(member(found, 'StatefulSet/db')).toMatchObject({
      leftOut: BOTH,
      protection: 'sidecar',
      claims: ['data-db-0', 'data-db-1', 'data-db-2'],
    });
    expect(found.notKept).toMatchObject([
      { volume: 'data', why: expect.stringContaining('data-db-0, data-db-1') as string },
    ]);
    expect(codes(found)).toEqual([]);
    const text = describePlan(found, 'here').replaceAll(/\s+/g, ' ');
    expect(text).toContain('volumes data-db-2: frozen by a sidecar');
    expect(text).toContain('left out db-0, db-1, data-db-0, data-db-1: velero.io/exclude-from');
    expect(text).toContain('1 volume (');
  });

  it('is a claim whose own label, whose volume, or whose every pod says so', () => {
    const set = workload('StatefulSet/db', { ...SET, replicas: 1 });
    const only = { pods: ['db-0'], claims: ['data-db-0'] };
    expect(leftOut([set, pod('db-0'), claim('data-db-0', OUT)])).toEqual(only);
    expect(leftOut([set, pod('db-0', OUT), claim('data-db-0')])).toEqual(only);
    const volume = { apiVersion: 'v1', kind: 'PersistentVolume' };
    const metadata = { name: 'pv-data-db-0', labels: OUT };
    expect(leftOut([set, pod('db-0'), claim('data-db-0'), { ...volume, metadata }])).toEqual(only);
    expect(leftOut([set, pod('db-0'), claim('data-db-0')])).toBeUndefined();
  });

  it('is never a claim that a pod without the label mounts, nor that pod, nor the other', () => {
    const shared = { claims: ['files'], image: 'postgres:17', sidecar: true };
    const { layers } = plan([
      workload('Deployment/a', { ...shared, labels: OUT }),
      workload('Deployment/b', shared),
      claim('files'),
    ]);
    expect(layers.flatMap(({ members }) => members).map((one) => one.leftOut)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('in manifests follows the templates', () => {
    const below = workload('StatefulSet/db', { ...SET, replicas: 2, labels: OUT });
    expect(leftOut([below])).toEqual(BOTH);
    const spec = { ...(below['spec'] as object), volumeClaimTemplates: [claim('data', OUT)] };
    expect(leftOut([{ ...below, spec }])).toEqual(BOTH);
  });

  it('needs no sidecar and no bound claim', () => {
    const bare = { image: 'postgres:17', templates: ['data'], replicas: 2 };
    const lost = { ...claim('data-db-0', OUT), status: { phase: 'Pending' } };
    const found = plan(
      [
        workload('StatefulSet/db', bare),
        mounting(running('Pod/db-0', 'StatefulSet/db', bare), 'data-db-0'),
        pod('db-1'),
        lost,
        claim('data-db-1'),
      ],
      {
        ...CLUSTER,
        unexamined: [
          { resource: 'storageclasses.storage.k8s.io', reason: 'forbidden', optional: true },
        ],
      },
    );
    expect(member(found, 'StatefulSet/db').protection).toBe('sidecar');
    expect(codes(found).filter((one) => one.includes('StatefulSet/db'))).toEqual([]);
  });
});

describe('with --velero', () => {
  it('pods that are left out are not in orderedResources', () => {
    const { text, notes } = veleroObject(SCHEDULE, planned(ONE_OF_THREE).members);
    expect(parse(text)).toMatchObject({
      spec: { template: { orderedResources: { pods: 'shop/db-2' } } },
    });
    expect(notes.join('\n')).not.toContain('still runs the hooks');
    expect(notes.join('\n')).toContain('cuts one volume:');
  });

  it('pods without the label are named where only their claims have it', () => {
    const objects = ONE_OF_THREE.filter(({ metadata }) => metadata?.name !== 'db-0');
    const { notes } = veleroObject(SCHEDULE, planned([...objects, pod('db-0')]).members);
    expect(notes.join('\n')).toMatch(/All claims of shop\/db-0 are left out/);
  });
});

describe('pods of one set that cannot all be frozen', () => {
  const found = (replicas: number, image = 'mongo:7') =>
    codes(plan([workload('StatefulSet/db', { ...SET, image, replicas })]));
  const problem = ['MAJORITY_NOT_KEPT shop StatefulSet/db'];

  it('are an error whose fix names the label, and none once one remains', () => {
    const set = workload('StatefulSet/db', SET);
    const { problems } = plan([set, ...['db-0', 'db-1', 'db-2'].map((name) => pod(name))]);
    expect(problems).toMatchObject([
      {
        code: 'MAJORITY_NOT_KEPT',
        severity: 'error',
        fix: expect.stringContaining('velero.io/exclude-from-backup: "true"') as string,
      },
    ]);
    expect(codes(plan(ONE_OF_THREE))).toEqual([]);
  });

  it('are judged by the votes that are left', () => {
    expect(found(1)).toEqual([]);
    expect(found(2)).toEqual(problem);
    expect(found(3, 'redis:7')).toEqual([]);
    const five = (out: number) =>
      codes(
        plan([
          workload('StatefulSet/db', { ...SET, replicas: 5 }),
          ...[0, 1, 2, 3, 4].map((one) => pod(`db-${one}`, one < out ? OUT : {})),
        ]),
      );
    expect(five(2)).toEqual(problem);
    expect(five(3)).toEqual([]);
  });
});
