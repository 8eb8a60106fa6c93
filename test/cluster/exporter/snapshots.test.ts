import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Groups, MOST_GROUPS, OTHER_GROUP } from '../../../src/cluster/exporter/labels.ts';
import {
  driversOf,
  type SnapshotView,
  viewOf,
} from '../../../src/cluster/exporter/snapshot-view.ts';
import { SnapshotLedger } from '../../../src/cluster/exporter/snapshots.ts';

const FAILED_AFTER_MS = 300_000;

/** Counts as the metrics do, with the driver in the key. */
function rig(driverOf: (view: SnapshotView) => string | undefined = () => 'csi.example') {
  const counted = new Map<string, number>();
  const add = (
    what: string,
    { group, driver }: { group: string; driver: string },
    by = 1,
  ): void => {
    const key = `${what} ${group} ${driver}`;
    counted.set(key, (counted.get(key) ?? 0) + by);
  };
  const ledger = new SnapshotLedger({
    counts: {
      known: () => undefined,
      attempted: (labels) => add('attempted', labels),
      failed: (labels) => add('failed', labels),
      ready: (labels, seconds) => add('ready after', labels, seconds),
    },
    groups: new Groups(),
    driverOf,
    failedAfterMs: FAILED_AFTER_MS,
  });
  return { ledger, counted: () => Object.fromEntries(counted) };
}

const snapshot = (own: Partial<SnapshotView> = {}): SnapshotView => ({
  uid: 'a',
  namespace: 'shop',
  group: 'orders',
  className: 'fast',
  ready: false,
  cut: false,
  ...own,
});

describe('a snapshot', () => {
  test('is one attempt, however often it changes, and its time until ready is kept once', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot(), 1_000, 'watch');
    ledger.see(snapshot({ cut: true }), 2_000, 'watch');
    ledger.see(snapshot({ cut: true, ready: true }), 5_000, 'watch');
    ledger.see(snapshot({ cut: true, ready: true }), 9_000, 'watch');
    ledger.gone(snapshot({ cut: true, ready: true }), 10_000);
    ledger.tick(1_000_000);
    expect(counted()).toEqual({
      'attempted orders csi.example': 1,
      'ready after orders csi.example': 4,
    });
    expect(ledger.size).toBe(0);
  });

  test('that is deleted before it was ready has failed, once', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot(), 0, 'watch');
    ledger.gone(snapshot(), 10);
    expect(counted()).toEqual({
      'attempted orders csi.example': 1,
      'failed orders csi.example': 1,
    });
    expect(ledger.size).toBe(0);
  });

  test('with an error that passes has not failed, as the controller tries again', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot({ error: 'the object has been modified' }), 0, 'watch');
    ledger.tick(FAILED_AFTER_MS - 1);
    ledger.see(snapshot({ cut: true, ready: true }), FAILED_AFTER_MS - 1, 'watch');
    ledger.tick(10 * FAILED_AFTER_MS);
    expect(counted()).not.toHaveProperty('failed orders csi.example');
  });

  test('with an error that lasts has failed, once, and is no success afterwards', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot({ cut: true }), 0, 'watch');
    ledger.see(snapshot({ cut: true, error: 'quota' }), 1_000, 'watch');
    ledger.tick(FAILED_AFTER_MS);
    expect(counted()).toEqual({ 'attempted orders csi.example': 1 });
    ledger.tick(FAILED_AFTER_MS + 1_000);
    ledger.see(snapshot({ cut: true, ready: true }), FAILED_AFTER_MS + 2_000, 'watch');
    expect(counted()).toEqual({
      'attempted orders csi.example': 1,
      'failed orders csi.example': 1,
    });
  });

  test('whose parameters the driver refuses has failed at once', () => {
    const { ledger, counted } = rig();
    ledger.see(
      snapshot({ error: 'rpc error: code = InvalidArgument desc = fsFreeze' }),
      0,
      'watch',
    );
    expect(counted()).toMatchObject({ 'failed orders csi.example': 1 });
  });

  test('that nothing cuts has failed, though no error says so; a slow upload has not', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot(), 0, 'watch');
    ledger.see(snapshot({ uid: 'slow', group: 'slow', cut: true }), 0, 'watch');
    ledger.tick(FAILED_AFTER_MS);
    expect(counted()).toEqual({
      'attempted orders csi.example': 1,
      'attempted slow csi.example': 1,
      'failed orders csi.example': 1,
    });
  });
});

describe('after a start', () => {
  test('older snapshots are neither attempts nor failures again', () => {
    const { ledger, counted } = rig();
    ledger.listing();
    for (let at = 0; at < 5_000; at += 1) {
      ledger.see(snapshot({ uid: `old-${at}`, ready: true, cut: true }), 0, 'first-list');
    }
    ledger.see(snapshot({ uid: 'bad', error: 'quota' }), 0, 'first-list');
    ledger.listedAll(0);
    ledger.tick(10 * FAILED_AFTER_MS);
    ledger.gone(snapshot({ uid: 'bad', error: 'quota' }), 10 * FAILED_AFTER_MS);
    expect(counted()).toEqual({});
    expect(ledger.size).toBe(5_000);
  });

  test('one that was pending is no attempt, and its failure counts', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot(), 0, 'first-list');
    ledger.gone(snapshot(), 10);
    expect(counted()).toEqual({ 'failed orders csi.example': 1 });
  });
});

describe('after a list in place of a watch', () => {
  test('new snapshots are attempts; the time until ready of those is not known', () => {
    const { ledger, counted } = rig();
    ledger.listing();
    ledger.listedAll(0);
    ledger.listing();
    ledger.see(snapshot(), 0, 'list');
    ledger.listedAll(0);
    ledger.see(snapshot({ cut: true, ready: true }), 99, 'watch');
    expect(counted()).toEqual({ 'attempted orders csi.example': 1 });
  });

  test('what ended unseen is told, and is no failure', () => {
    const { ledger, counted } = rig();
    ledger.see(snapshot(), 0, 'watch');
    ledger.see(snapshot({ uid: 'b', cut: true, ready: true }), 0, 'watch');
    ledger.listing();
    expect(ledger.listedAll(10)).toBe(1);
    expect(ledger.size).toBe(0);
    expect(counted()).not.toHaveProperty('failed orders csi.example');
  });
});

describe('labels', () => {
  test('attempt and outcome wait for the driver, and are one series', () => {
    let driver: string | undefined;
    const { ledger, counted } = rig(() => driver);
    ledger.see(snapshot(), 0, 'watch');
    ledger.gone(snapshot(), 1_000);
    expect(counted()).toEqual({});
    driver = 'csi.example';
    ledger.tick(2_000);
    expect(counted()).toEqual({
      'attempted orders csi.example': 1,
      'failed orders csi.example': 1,
    });
    expect(ledger.size).toBe(0);
  });

  test('a driver that stays unknown is called so', () => {
    const { ledger, counted } = rig(() => undefined);
    ledger.see(snapshot(), 0, 'watch');
    ledger.tick(30_000);
    expect(counted()).toEqual({ 'attempted orders unknown': 1 });
  });

  test('groups of a namespace are bounded, whatever users label', () => {
    const { ledger, counted } = rig();
    for (let at = 0; at < 3 * MOST_GROUPS; at += 1) {
      ledger.see(snapshot({ uid: `${at}`, group: `g${at}` }), 0, 'watch');
    }
    const found = counted();
    expect(Object.keys(found)).toHaveLength(MOST_GROUPS + 1);
    expect(found[`attempted ${OTHER_GROUP} csi.example`]).toBe(2 * MOST_GROUPS);
  });
});

test('whatever happens in whatever order, a snapshot is one attempt and has one outcome at most', () => {
  const state = fc.record({
    ready: fc.boolean(),
    cut: fc.boolean(),
    error: fc.constantFrom(undefined, 'busy', 'InvalidArgument'),
  });
  const step = fc.oneof(
    fc.record({ do: fc.constant('see' as const), state, listed: fc.boolean() }),
    fc.record({
      do: fc.constantFrom('gone' as const, 'list-without' as const, 'tick' as const),
      state,
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), fc.boolean(), (steps, driverKnown) => {
      const { ledger, counted } = rig(() => (driverKnown ? 'csi.example' : undefined));
      let now = 0;
      let over = false;
      for (const one of steps) {
        if (over) break;
        now += 45_000;
        const { error, ...rest } = one.state;
        const view = snapshot({ ...rest, ...(error && { error }) });
        if (one.do === 'see') ledger.see(view, now, one.listed ? 'list' : 'watch');
        else if (one.do === 'gone') ledger.gone(view, now);
        else if (one.do === 'tick') ledger.tick(now);
        else {
          ledger.listing();
          ledger.listedAll(now);
        }
        // A uid does not come again.
        over = one.do === 'gone' || one.do === 'list-without';
      }
      ledger.tick(now + 60_000);
      const of = (what: string): number =>
        Object.entries(counted()).reduce(
          (sum, [key, n]) => sum + (key.startsWith(what) ? n : 0),
          0,
        );
      const outcomes = Object.keys(counted()).filter((key) => !key.startsWith('attempted'));
      expect(of('attempted')).toBeLessThanOrEqual(1);
      expect(of('failed')).toBeLessThanOrEqual(1);
      expect(outcomes.length).toBeLessThanOrEqual(1);
      expect(of('failed')).toBeLessThanOrEqual(of('attempted'));
      if (over) expect(ledger.size).toBe(0);
    }),
    { numRuns: 500 },
  );
});

describe('of an object', () => {
  const made = {
    metadata: { uid: 'u', name: 's', namespace: 'shop', labels: { 'quiesce.dev/group': 'orders' } },
    spec: { volumeSnapshotClassName: 'fast', source: { persistentVolumeClaimName: 'data' } },
    status: {
      readyToUse: false,
      error: { message: 'no space' },
      creationTime: '2026-01-01T00:00:00Z',
    },
  };
  test('are kept: whose it is, and how far it is', () => {
    expect(viewOf(made)).toEqual({
      uid: 'u',
      namespace: 'shop',
      group: 'orders',
      className: 'fast',
      ready: false,
      cut: true,
      error: 'no space',
    });
    expect(viewOf({ ...made, metadata: { uid: 'u', namespace: 'shop' } })?.group).toBe('shop');
  });

  test('that stands for an existing snapshot nothing is kept, unless a group has cut it', () => {
    const source = { volumeSnapshotContentName: 'restored' };
    const imported = { ...made, spec: { source } };
    expect(viewOf(imported)).toBeUndefined();
    const ownerReferences = [{ apiVersion: 'g', kind: 'VolumeGroupSnapshot', name: 'g', uid: 'g' }];
    const metadata = { ...made.metadata, ownerReferences };
    expect(viewOf({ ...imported, metadata })?.uid).toBe('u');
  });

  test.each([undefined, null, 'text', {}, { metadata: null }, { metadata: { uid: 7 } }])(
    'that is none (%j) nothing is kept',
    (object) => expect(viewOf(object)).toBeUndefined(),
  );

  test('of classes: their drivers', () => {
    const classes = [{ metadata: { name: 'fast' }, driver: 'csi.example' }, { metadata: {} }, null];
    expect([...driversOf(classes)]).toEqual([['fast', 'csi.example']]);
  });
});
