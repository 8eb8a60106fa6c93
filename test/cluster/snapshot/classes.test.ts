import { describe, expect, it } from 'vitest';
import {
  type ClaimFacts,
  planVolumes,
  type SnapshotClass,
  type VolumeFacts,
} from '../../../src/cluster/snapshot/classes.ts';

const RBD = 'rook-ceph.rbd.csi.ceph.com';

function claim(name: string, more: Partial<ClaimFacts> = {}): ClaimFacts {
  return {
    namespace: 'shop',
    claim: name,
    uid: `uid-${name}`,
    bound: true,
    deleting: false,
    annotations: {},
    pods: [],
    volume: { name: `pv-${name}`, driver: RBD, handle: `h-${name}`, source: 'csi' },
    ...more,
  };
}

function snapshotClass(name: string, more: Partial<SnapshotClass> = {}): SnapshotClass {
  return { name, driver: RBD, parameters: [], labels: {}, annotations: {}, ...more };
}

function plan(facts: Partial<VolumeFacts>) {
  return planVolumes({
    claims: [claim('a')],
    classes: [snapshotClass('rbd')],
    groupClasses: [],
    choices: new Map(),
    ...facts,
  });
}

const of = (driver: string): Partial<ClaimFacts> => ({
  volume: { name: 'pv', driver, handle: 'h', source: 'csi' },
});
const codes = (result: ReturnType<typeof plan>) => result.obstacles.map(({ code }) => code);
const chosen = (result: ReturnType<typeof plan>) =>
  result.plan.claims.map(({ snapshotClass: name }) => name);

describe('the choice of a snapshot class', () => {
  const two = [snapshotClass('x'), snapshotClass('y')];

  it('takes the only class of the driver', () => {
    expect(
      chosen(plan({ classes: [snapshotClass('rbd'), snapshotClass('z', { driver: 'z' })] })),
    ).toEqual(['rbd']);
  });

  it('names the classes where there are several and nothing chooses', () => {
    const result = plan({ classes: two });
    expect(codes(result)).toEqual(['SNAPSHOT_CLASS_AMBIGUOUS']);
    expect(result.obstacles[0]?.message).toContain('x, y');
  });

  it('prefers the claim’s annotation, then the user, then Velero’s label, then the default', () => {
    const label = { 'velero.io/csi-volumesnapshot-class': 'true' };
    const fallback = { 'snapshot.storage.kubernetes.io/is-default-class': 'true' };
    const classes = [
      snapshotClass('own'),
      snapshotClass('asked'),
      snapshotClass('velero', { labels: label }),
      snapshotClass('default', { annotations: fallback }),
    ];
    const annotated = claim('a', { annotations: { 'quiesce.dev/snapshot-class': 'own' } });
    const choices = new Map([[RBD, 'asked']]);
    expect(chosen(plan({ classes, choices, claims: [annotated] }))).toEqual(['own']);
    expect(chosen(plan({ classes, choices }))).toEqual(['asked']);
    expect(chosen(plan({ classes }))).toEqual(['velero']);
    expect(chosen(plan({ classes: classes.filter(({ name }) => name !== 'velero') }))).toEqual([
      'default',
    ]);
  });

  it('refuses a chosen class that is missing, or of another driver', () => {
    const other = snapshotClass('ebs', { driver: 'ebs.csi.aws.com' });
    for (const name of ['ebs', 'nothing']) {
      const result = plan({ classes: [...two, other], choices: new Map([[RBD, name]]) });
      expect(codes(result)).toEqual(['CLAIM_WITHOUT_CLASS']);
      expect(result.obstacles[0]?.message).toContain(name);
    }
  });
});

describe('what keeps a run from beginning', () => {
  it.each([
    ['CLAIM_NOT_BOUND', { uid: undefined }],
    ['CLAIM_NOT_BOUND', { bound: false, phase: 'Pending' }],
    ['CLAIM_NOT_BOUND', { deleting: true }],
    ['VOLUME_NOT_SNAPSHOTTABLE', { volume: { name: 'pv', source: 'hostPath' } }],
    ['CLAIM_WITHOUT_CLASS', of('nfs.csi.k8s.io')],
  ] as const)('%s', (code, more) => {
    const { uid, ...rest } = claim('a', more as Partial<ClaimFacts>);
    const facts = uid === undefined ? rest : { ...rest, uid };
    expect(codes(plan({ claims: [facts] }))).toEqual([code]);
  });

  it('is a parameter that the driver refuses, such as fsFreeze of EBS', () => {
    const ebs = snapshotClass('ebs', {
      driver: 'ebs.csi.aws.com',
      parameters: ['fsFreeze', 'outpostArn'],
    });
    const result = plan({ classes: [ebs], claims: [claim('a', of('ebs.csi.aws.com'))] });
    expect(codes(result)).toEqual(['SNAPSHOT_CLASS_PARAMETERS']);
    expect(result.obstacles[0]?.message).toContain('fsFreeze');
    expect(result.obstacles[0]?.message).not.toContain('outpostArn');
  });

  it('is said once for claims that have it alike, and all of it at once', () => {
    const claims = [claim('a'), claim('b'), claim('c', { bound: false })];
    const result = plan({ claims, classes: [snapshotClass('x'), snapshotClass('y')] });
    expect(codes(result)).toEqual(['CLAIM_NOT_BOUND', 'SNAPSHOT_CLASS_AMBIGUOUS']);
  });
});

describe('whether cuts are one moment', () => {
  const atomic = (driver: string, facts: Partial<ClaimFacts> = {}, annotations = {}) => {
    const classes = [snapshotClass('x', { driver, annotations })];
    const { plan: made } = plan({ classes, claims: [claim('a', { ...of(driver), ...facts })] });
    return { atomic: made.claims[0]?.atomic, notes: made.notes.map(({ code }) => code) };
  };

  it('is known of some drivers, under the names that operators give them', () => {
    expect(atomic(RBD)).toEqual({ atomic: true, notes: [] });
    expect(atomic('ebs.csi.aws.com')).toEqual({ atomic: true, notes: [] });
  });

  it('is never so of a driver that copies live files, whatever is declared', () => {
    const yes = { declared: 'true' };
    expect(atomic('hostpath.csi.k8s.io', yes, { 'quiesce.dev/atomic': 'true' })).toEqual({
      atomic: false,
      notes: ['COPIES_LIVE_FILES'],
    });
  });

  it('is said of a driver of which nothing is known, until the user declares it', () => {
    expect(atomic('new.example')).toEqual({ atomic: 'unknown', notes: ['DRIVER_UNKNOWN'] });
    expect(atomic('new.example', { declared: 'true' }).atomic).toBe(true);
    expect(atomic('new.example', {}, { 'quiesce.dev/atomic': 'true' }).atomic).toBe(true);
  });

  it('is not so where one of the two classes says so', () => {
    expect(atomic(RBD, { declared: 'false' }).atomic).toBe(false);
    expect(atomic(RBD, { declared: 'true' }, { 'quiesce.dev/atomic': 'false' }).atomic).toBe(false);
  });
});

describe('one group snapshot', () => {
  const groupClasses = [snapshotClass('group')];
  const claims = [claim('a'), claim('b')];

  it('holds all claims of one driver in one namespace, and then needs no VolumeSnapshotClass', () => {
    const result = plan({ claims, groupClasses, classes: [] });
    expect(result.obstacles).toEqual([]);
    expect(result.plan.group).toBe(true);
    expect(chosen(result)).toEqual(['group', 'group']);
  });

  it.each([
    [
      'two drivers',
      {
        claims: [...claims, claim('c', of('x'))],
        classes: [snapshotClass('rbd'), snapshotClass('x', { driver: 'x' })],
      },
    ],
    ['two namespaces', { claims: [...claims, claim('c', { namespace: 'other' })] }],
    ['one claim', { claims: [claim('a')] }],
    ['no class of the driver', { claims, groupClasses: [snapshotClass('g', { driver: 'x' })] }],
  ])('is not made for %s', (_, facts) => {
    const result = plan({ groupClasses, ...facts });
    expect(result.obstacles).toEqual([]);
    expect(result.plan.group).toBe(false);
  });

  it('is not made where several classes would do, and the user learns it', () => {
    const result = plan({ claims, groupClasses: [snapshotClass('g'), snapshotClass('h')] });
    expect(result.plan.group).toBe(false);
    expect(result.plan.notes.map(({ code }) => code)).toEqual(['GROUP_CLASS_AMBIGUOUS']);
  });

  const group = [snapshotClass('group')];
  const named = (name: string) => ({ annotations: { 'quiesce.dev/snapshot-class': name } });

  it.each([
    ['the user', [claim('a'), claim('b')], [[RBD, 'rbd']], ['rbd', 'rbd']],
    ['all claims', [claim('a', named('rbd')), claim('b', named('rbd'))], [], ['rbd', 'rbd']],
    ['one claim', [claim('a', named('rbd')), claim('b')], [], ['rbd', 'rbd']],
    ['one claim, a group’s', [claim('a', named('rbd')), claim('b')], [[RBD, 'group']], undefined],
  ] as const)('is not made where %s chose another class, and the run says so', (...row) => {
    const [, claims, choices, want] = row;
    const result = plan({ claims, groupClasses: group, choices: new Map(choices) });
    expect(result.plan.group).toBe(false);
    expect(result.plan.notes.map(({ code }) => code)).toEqual(['GROUP_CLASS_NOT_CHOSEN']);
    if (want === undefined) expect(codes(result)).toEqual(['CLAIM_WITHOUT_CLASS']);
    else expect(chosen(result)).toEqual(want);
  });

  it('is made with the class that was chosen for all, also of several', () => {
    const groupClasses = [...group, snapshotClass('other')];
    const choices = new Map([[RBD, 'other']]);
    const result = plan({ claims: [claim('a'), claim('b')], groupClasses, choices });
    expect([result.plan.group, ...chosen(result)]).toEqual([true, 'other', 'other']);
  });

  it('is not made with a class that nobody has, and nothing begins', () => {
    const claims = [claim('a'), claim('b')];
    const result = plan({ claims, groupClasses: group, choices: new Map([[RBD, 'nope']]) });
    expect(codes(result)).toEqual(['CLAIM_WITHOUT_CLASS', 'CLAIM_WITHOUT_CLASS']);
  });

  it('says that a class was chosen for a driver that no claim has', () => {
    const result = plan({ choices: new Map([['rdb', 'fast']]) });
    expect(result.plan.notes).toMatchObject([
      { code: 'SNAPSHOT_CLASS_UNUSED', hint: `The claims are of ${RBD}.` },
    ]);
  });

  it('is not made of EBS, which has none', () => {
    const ebs = [claim('a', of('ebs.csi.aws.com')), claim('b', of('ebs.csi.aws.com'))];
    const driver = 'ebs.csi.aws.com';
    const result = plan({
      claims: ebs,
      classes: [snapshotClass('ebs', { driver })],
      groupClasses: [snapshotClass('g', { driver })],
    });
    expect(result.plan.group).toBe(false);
  });
});
