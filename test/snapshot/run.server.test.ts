import { describe, expect, it } from 'vitest';
import { QuiesceError } from '../../src/errors.ts';
import { codes, heldBy, labels, shop, snapshot, start } from './shop.ts';

const LIVE_DRIVER = 'hostpath.csi.k8s.io';
describe('a snapshot of an application', () => {
  it('freezes those that block writers last, cuts, thaws them first, and is proven', async () => {
    const made = await shop();
    const order: string[] = [];
    for (const [name, one] of [
      ['db', made.db],
      ['cache', made.cache],
    ] as const) {
      one.engine.onHold = async () => void order.push(`${name} held`);
      one.engine.onRelease = async () => void order.push(`${name} released`);
    }
    const bind = made.api.cluster.onSnapshot;
    made.api.cluster.onSnapshot = (one, cluster) => {
      order.push(`cut ${heldBy(made).join()}`);
      bind?.(one, cluster);
    };
    const ended = await snapshot(made.api);
    expect(ended.run.problems).toEqual([]);
    expect([ended.code, ended.run.verdict]).toEqual([0, 'proven']);
    expect(order).toEqual([
      'db held',
      'cache held',
      'cut 1,1',
      'cut 1,1',
      'cache released',
      'db released',
    ]);
    expect(ended.run.together?.kind).toBe('complete-to');
    expect(ended.run.members.map(({ receipt }) => receipt?.['verdict'])).toEqual([
      'consistent',
      'consistent',
    ]);
    expect(new Set(ended.run.members.map(({ receipt }) => receipt?.['id']))).toEqual(
      new Set([ended.run.id]),
    );
    expect(labels(made)).toEqual(['proven', 'proven']);
  });

  it('is exact in one group snapshot if each member blocks or is durable, and not otherwise', async () => {
    const durable = await shop({ group: true });
    expect((await snapshot(durable.api)).run.together?.kind).toBe('exact');
    const unknown = await shop({ group: true, dbEngine: 'mongodb', dbBlocks: false });
    expect((await snapshot(unknown.api)).run.together?.kind).toBe('complete-to');
    expect((await snapshot(durable.api, ['--no-group-snapshot'])).run.together?.kind).toBe(
      'complete-to',
    );
  });

  it('is never proven with a driver that copies live files', async () => {
    const made = await shop({ driver: LIVE_DRIVER });
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.verdict]).toEqual([7, 'unproven']);
    expect(labels(made)).toEqual(['unproven', 'unproven']);
    expect(ended.run.together).toBeUndefined();
  });

  it('leaves a freeze of somebody else alone, thaws its own, and exits with 4', async () => {
    const made = await shop();
    await made.cache.coordinator.freeze({ id: 'velero', by: 'velero' });
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([4, 'MEMBER_HELD']);
    expect(ended.body.error.message).toMatch(/cache.*velero/);
    expect(heldBy(made)).toEqual([0, 1]);
    expect(made.cache.coordinator.lease()?.id).toBe('velero');
  });

  it('does not release a freeze that somebody else makes between the look and the freeze', async () => {
    const made = await shop();
    made.db.engine.onHold = async () => {
      await made.cache.coordinator.freeze({ id: 'velero', by: 'velero' });
    };
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([4, ['MEMBER_HELD']]);
    expect(heldBy(made)).toEqual([0, 1]);
    expect(labels(made)).toEqual([]);
  });

  it('refuses a member with claims and no sidecar, unless it is declared', async () => {
    const made = await shop();
    made.api.member('files', made.db, { sidecar: false, engine: 'nginx' });
    const refused = await snapshot(made.api);
    expect([refused.code, refused.body.error?.code]).toEqual([2, 'MEMBER_WITHOUT_SIDECAR']);
    expect(refused.body.error.message).toContain('StatefulSet/files');
    const annotations = { 'quiesce.dev/freeze': 'none' };
    made.api.member('files', made.db, { sidecar: false, engine: 'nginx', annotations });
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([7, ['MEMBER_UNFROZEN']]);
  });
});

describe('a sidecar is reached', () => {
  it('by exec where it has a token, and where pods/portforward is forbidden', async () => {
    const made = await shop({ token: 'a-secret-token' });
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.problems]).toEqual([0, []]);
    made.api.forbidden.add('portforward');
    const second = await snapshot(made.api);
    expect([second.code, second.run.problems]).toEqual([0, []]);
  });

  it('not at all where both are forbidden: the error has the rights as a manifest', async () => {
    const made = await shop();
    made.api.forbidden.add('portforward').add('exec');
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'FORBIDDEN']);
    expect(ended.body.error.hint).toContain('pods/portforward');
    expect(heldBy(made)).toEqual([0, 0]);
  });

  it('but its database is not: nothing is frozen', async () => {
    const made = await shop();
    made.cache.reachable = false;
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'MEMBER_NOT_READY']);
    expect(made.db.engine.calls).not.toContain('hold');
  });
});

describe('a run fails truly, and leaves nothing frozen', () => {
  it('if a freeze fails: all are thawed, nothing is cut, and the sidecar’s words are kept', async () => {
    const made = await shop();
    made.cache.engine.onHold = async () => {
      throw new QuiesceError('ENGINE_FAILED', 'The disk is full.');
    };
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.verdict]).toEqual([5, 'failed']);
    expect(ended.run.problems[0]?.code).toBe('ENGINE_FAILED');
    expect(heldBy(made)).toEqual([0, 0]);
    expect(labels(made)).toEqual([]);
  });

  it('if a sidecar dies while volumes are cut', async () => {
    const made = await shop();
    let died: Promise<void> | undefined;
    const bind = made.api.cluster.onSnapshot;
    made.api.cluster.onSnapshot = (one, cluster) => {
      died ??= made.cache.die();
      void died.then(() => bind?.(one, cluster));
    };
    const ended = await snapshot(made.api);
    expect(ended.run.verdict, JSON.stringify(ended)).toBe('failed');
    expect(ended.code).not.toBe(0);
    expect(made.db.engine.held).toBe(0);
    expect(labels(made)).not.toContain('proven');
  });

  it('if the API server goes away while volumes are cut: the leases release, nothing is proven', async () => {
    const made = await shop();
    const bind = made.api.cluster.onSnapshot;
    made.api.cluster.onSnapshot = () => made.api.cut();
    const ended = await snapshot(made.api, ['--ttl', '4s', '--timeout', '20s']);
    expect(ended.code, ended.stderr).not.toBe(0);
    expect(ended.code, ended.stderr).not.toBe(1);
    expect(ended.run.verdict).not.toBe('proven');
    await expect.poll(() => heldBy(made), { timeout: 10_000 }).toEqual([0, 0]);
    expect(labels(made)).not.toContain('proven');
    made.api.mend();
    made.api.cluster.onSnapshot = bind;
    const next = await snapshot(made.api);
    expect(next.run.verdict, JSON.stringify(next)).toBe('proven');
    expect(codes(next)).toContain('EARLIER_RUN_DIED');
    expect(new Set(labels(made))).toEqual(new Set(['failed', 'proven']));
  });

  it('if a pod is replaced meanwhile', async () => {
    const made = await shop();
    const bind = made.api.cluster.onSnapshot;
    made.api.cluster.onSnapshot = (one, cluster) => {
      cluster.change('/api/v1/namespaces/shop/pods/db-0', { metadata: { uid: 'another' } });
      bind?.(one, cluster);
    };
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([5, ['MEMBER_CHANGED']]);
    expect(labels(made)).toEqual(['failed', 'failed']);
  });

  it('if the snapshots are not cut before the first lease ends: too late, and nothing is kept', async () => {
    const made = await shop();
    made.api.cluster.onSnapshot = () => undefined;
    const ended = await snapshot(made.api, ['--ttl', '2s']);
    expect([ended.code, ended.run.verdict]).toEqual([6, 'failed']);
    expect(heldBy(made)).toEqual([0, 0]);
    expect(labels(made)).toEqual([]);
  });

  it('on SIGTERM: it thaws before it ends', async () => {
    const made = await shop();
    made.api.cluster.onSnapshot = () => undefined;
    const { child, ended } = start(made.api);
    await expect.poll(() => labels(made).length, { timeout: 20_000 }).toBe(2);
    expect(heldBy(made)).toEqual([1, 1]);
    child.kill('SIGTERM');
    const { code, run } = await ended;
    expect([code, run.problems[0]?.code]).toEqual([5, 'RUN_INTERRUPTED']);
    expect(heldBy(made)).toEqual([0, 0]);
    expect(labels(made)).toEqual([]);
  });

  it('if its result cannot be recorded', async () => {
    const made = await shop();
    made.api.broken = (method, path) => method === 'POST' && path.includes('/configmaps');
    const ended = await snapshot(made.api);
    expect(ended.run.verdict).toBe('failed');
    expect(ended.code).not.toBe(0);
    expect(labels(made)).not.toContain('proven');
  });
});

describe('two runs of one application', () => {
  it('are kept apart while the first gives signs of life', async () => {
    const made = await shop();
    made.api.cluster.onSnapshot = () => undefined;
    const first = start(made.api);
    await expect.poll(() => labels(made).length, { timeout: 20_000 }).toBe(2);
    const second = await snapshot(made.api);
    expect([second.code, second.body.error?.code]).toEqual([4, 'RUN_UNDER_WAY']);
    first.child.kill('SIGTERM');
    await first.ended;
  });
});
