import { expect, it } from 'vitest';
import { describePlan } from '../../../src/cluster/plan/describe.ts';
import { AFTER, plan, workload } from './support.ts';

const DB = { image: 'postgres:17', templates: ['data'], sidecar: true };

it('shows each member with what its place rests on, its pods, its volumes and what freezes them', () => {
  const found = plan([
    workload('StatefulSet/db', { ...DB, replicas: 6 }),
    workload('Deployment/api', { replicas: 2, annotations: AFTER('db') }),
    workload('Deployment/web', { annotations: { 'quiesce.dev/order': '3' } }),
    workload('Deployment/files', { claims: ['files'] }),
  ]);
  const kept = [{ member: { namespace: 'shop', kind: 'StatefulSet', name: 'db' }, why: 'a tmpfs' }];
  const text = describePlan(
    { ...found, notKept: kept.map((one) => ({ ...one, volume: 'shm', declared: 'discard' })) },
    'shop.yaml',
  );
  expect(text).toBe(
    `Layer 1
  StatefulSet/db  postgres, databases (image)
      pods     db-0 … db-5 (6)
      volumes  data-db-0 … data-db-5 (6): frozen by a sidecar

Layer 2
  Deployment/api    applications, 2 pods
      after    StatefulSet/db (annotation)
  Deployment/files  applications (image), 1 pod
      volumes  files: NOTHING FREEZES THEM
  Deployment/web    applications, 1 pod
      order    3 (annotation)

A restore does not bring back
  StatefulSet/db  shm (declared: discard)
      a tmpfs

ERROR    SIDECAR_MISSING  shop Deployment/files
         It has a claim, and no sidecar freezes it.
         Fix: If it is a database that quiesce knows, give its pods the label
         quiesce.dev/inject: "true". Else annotate it quiesce.dev/freeze: none:
         its copy is then crash-consistent, and the run unproven.

shop: 4 members in 2 layers, 6 pods, 7 volumes (shop.yaml). 1 error.
`.trimEnd(),
  );
});

it('prints what a terminal may show, whatever a manifest holds', () => {
  const evil = 'db\u001b[2J\u009b31m\u202eX\nLayer 9';
  const objects = [
    workload(`StatefulSet/${evil}`, { ...DB, annotations: { 'quiesce.dev/stage': evil } }),
    workload('Deployment/api', { claims: [evil], image: `x${evil}` }),
  ];
  const text = describePlan(plan(objects), evil);
  expect(text).toContain('db [2J');
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{C}/u);
  expect(text).not.toMatch(/^Layer 9/m);
});

it('fits 80 columns with 60 members in two namespaces and long names', () => {
  const objects = Array.from({ length: 60 }, (_, at) =>
    workload(`${at % 3 === 0 ? 'StatefulSet' : 'Deployment'}/member-of-the-application-${at}`, {
      namespace: at % 2 === 0 ? 'shop' : 'warehouse-of-the-shop',
      ...(at % 3 === 0 ? { ...DB, replicas: at } : {}),
      ...(at % 5 === 4
        ? { annotations: AFTER(`shop/member-of-the-application-${at % 4 === 0 ? 0 : 12}`) }
        : {}),
    }),
  );
  const lines = describePlan(plan(objects), 'all.yaml').split('\n');
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  expect(lines.length).toBeLessThan(60 * 4);
  expect(lines.some((line) => line.includes('warehouse-of-the-shop StatefulSet/'))).toBe(true);
});
