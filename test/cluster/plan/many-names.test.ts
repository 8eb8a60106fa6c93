import { expect, it } from 'vitest';
import { AFTER, CLUSTER, plan, workload } from './support.ts';

const MANY = Array.from({ length: 10_000 }, (_, index) => `n${index}`);

it('ten thousand names that are not there are a few problems, and the others count', () => {
  const api = workload('Deployment/api', { annotations: AFTER(['db', ...MANY].join(', ')) });
  const found = plan([workload('StatefulSet/db', { image: 'postgres:17' }), api]);
  expect(found.layers).toHaveLength(2);
  const { length } = found.problems;
  expect(length).toBeGreaterThan(1);
  expect(length).toBeLessThan(30);
  const last = found.problems.map(({ message }) => message).find((one) => / more,/.test(one));
  expect(last).toMatch(/names n20, n21, .* and 9960 more, which are not among/);
});

it('in a cluster they are one error, which a person can read', () => {
  const api = workload('Deployment/api', { annotations: AFTER(MANY.join(',')) });
  let message = '';
  try {
    plan([api], CLUSTER);
  } catch (error) {
    ({ message } = error as Error);
  }
  expect(message).toMatch(/n0 \(shop Deployment\/api\), .* and 9980 more\.$/);
  expect(message.length).toBeLessThan(2000);
});

it('ten thousand volumes that are none are a few problems', () => {
  const state = MANY.map((one) => `${one}=discard`).join(',');
  const found = plan([workload('Deployment/api', { annotations: { 'quiesce.dev/state': state } })]);
  const messages = found.problems.map(({ message }) => message);
  expect(messages.length).toBeLessThan(30);
  expect(messages[0]).toMatch(/names n0, which is no volume of its pods\.$/);
  expect(messages.join('\n')).toMatch(/9960 more, which are no volumes of its pods\.$/m);
});
