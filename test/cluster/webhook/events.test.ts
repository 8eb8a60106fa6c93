import { expect, it, vi } from 'vitest';
import type { Cluster, ClusterEvent } from '../../../src/cluster/api/client.ts';
import { EventWriter } from '../../../src/cluster/webhook/events.ts';
import type { Logger } from '../../../src/logger.ts';

it('writes one Event for each problem of a pod, even if problems share a reason', () => {
  const created: ClusterEvent[] = [];
  const cluster = {
    createEvent: (event: ClusterEvent) => Promise.resolve(void created.push(event)),
  } as unknown as Cluster;
  const writer = new EventWriter(cluster, { warn: vi.fn() } as unknown as Logger);
  const notices = ['quiesce.dev/copy must be …', 'quiesce.dev/ttl must be …'].map((message) => ({
    code: 'InvalidAnnotation',
    message,
  }));
  for (let again = 0; again < 3; again += 1) {
    writer.report({ metadata: { name: 'db-0' } }, 'shop', notices);
  }
  expect(created.map(({ message }) => message)).toEqual(notices.map(({ message }) => message));
});
