import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { veleroObject } from '../../../src/cluster/plan/velero.ts';
import { planned, running, workload } from './support.ts';

const SCHEDULE = `# Nightly
apiVersion: velero.io/v1
kind: Schedule
metadata: {name: shop, namespace: velero, uid: x, resourceVersion: "3"}
spec:
  schedule: 0 3 * * * # at three
  template:
    includedNamespaces: [shop]
status: {phase: Enabled}
`;
const DB = { templates: ['data'], sidecar: true };
const { members } = planned([
  workload('StatefulSet/cache', { ...DB, image: 'redis:7' }),
  workload('StatefulSet/db', { ...DB, image: 'postgres:17', replicas: 2 }),
  workload('Deployment/api'),
]);

it('lists the pods with volumes without blanks, and those that block writers last', () => {
  const { text, object } = veleroObject(SCHEDULE, members);
  const pods = 'shop/db-0,shop/db-1,shop/cache-0';
  expect(parse(text)).toEqual(object);
  expect(object).toEqual({
    apiVersion: 'velero.io/v1',
    kind: 'Schedule',
    metadata: { name: 'shop', namespace: 'velero' },
    spec: {
      schedule: '0 3 * * *',
      template: { includedNamespaces: ['shop'], orderedResources: { pods } },
    },
  });
  expect(text).toContain('# Nightly');
  expect(text).toContain('# at three');
  expect(text).not.toContain('!!');
});

it('takes a Backup, in JSON too, and makes what it lacks', () => {
  const given = '{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"b"}}';
  const { text } = veleroObject(given, members);
  expect(JSON.parse(text)).toMatchObject({
    spec: { orderedResources: { pods: 'shop/db-0,shop/db-1,shop/cache-0' } },
  });
});

it('keeps the order of other kinds, and tells what it replaces', () => {
  const given = SCHEDULE.replace(
    '    includedNamespaces: [shop]',
    '    orderedResources: {pods: "shop/old", persistentvolumes: "pv-1"}',
  );
  const { object, notes } = veleroObject(given, members);
  expect(object).toMatchObject({
    spec: { template: { orderedResources: { persistentvolumes: 'pv-1' } } },
  });
  expect(notes.join('\n')).toContain('shop/old');
});

it('tells what the backup leaves out, and whose pods it cannot name for long', () => {
  const given = SCHEDULE.replace('[shop]', '[other]\n    excludedResources: [pods]');
  const more = planned([
    workload('Deployment/files', { claims: ['files'] }),
    running('Pod/files-1-x', 'ReplicaSet/files-1', { claims: ['files'], sidecar: true }),
    workload('Deployment/absent', { claims: ['a'] }),
  ]);
  const notes = veleroObject(given, more.members).notes.join('\n');
  expect(notes).toContain('does not include the namespace shop');
  expect(notes).toContain('does not include pods');
  expect(notes).toContain('Pods of Deployment/files get new names');
  expect(notes).toContain('Pods of Deployment/absent are not in the list');
  expect(notes).toContain('Deployment/absent: no hook freezes it');
});

it('tells when the cuts take longer than a member that blocks writers holds', () => {
  const many = (replicas: number) =>
    planned([workload('StatefulSet/cache', { ...DB, image: 'redis:7', replicas })]).members;
  const told = (replicas: number) => veleroObject(SCHEDULE, many(replicas)).notes.join('\n');
  expect(told(12)).toContain('lets go after 60 s');
  expect(told(3)).not.toContain('lets go');
});

it('refuses a manifest without one Backup or Schedule, and members without volumes', () => {
  const bad = expect.objectContaining({ code: 'MANIFEST_INVALID' }) as Error;
  expect(() => veleroObject('kind: Schedule\napiVersion: example.org/v1', members)).toThrow(bad);
  expect(() => veleroObject(`${SCHEDULE}---\n${SCHEDULE}`, members)).toThrow(bad);
  const none = planned([workload('Deployment/api')]).members;
  const noMembers = expect.objectContaining({ code: 'NO_MEMBERS' }) as Error;
  expect(() => veleroObject(SCHEDULE, none)).toThrow(noMembers);
});
