import type {
  DrillRun,
  RestoredMember,
  RestoreRun,
} from '../../../src/cluster/restore/document.ts';

const ref = (name: string, namespace = 'shop') => ({ namespace, kind: 'StatefulSet', name });

export function memberOf(name: string, own: Partial<RestoredMember> = {}): RestoredMember {
  return { ...ref(name), problems: [], timeline: {}, ...own };
}

/** A restore of etcd, then a database, then an API, in which everything went well. */
export function restoreOf(own: Partial<RestoreRun> = {}): RestoreRun {
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'RestoreRun',
    id: 'shop-20261130180300-ab12',
    group: 'shop',
    source: {
      kind: 'backup',
      name: 'nightly',
      takenAt: '2026-11-30T02:00:00Z',
      namespaces: { shop: 'shop' },
    },
    verdict: 'proven',
    layers: [
      layer('etcd', '18:03:02', '18:03:12'),
      layer('db', '18:03:12', '18:03:50'),
      layer('api', '18:03:50', '18:04:02'),
    ],
    members: [
      memberOf('api', { timeline: times(1_500, 50_000, 60_000, 62_000) }),
      memberOf('etcd', { timeline: times(1_000, 2_000, 11_000, 12_000), bytes: 2 ** 30 }),
      memberOf('db', {
        engine: 'postgres',
        level: 'position',
        message: 'The log reaches the receipt.',
        timeline: { ...times(1_200, 12_000, 40_000, 50_000), verifiedMs: 48_000 },
        dataAt: '2026-11-30T02:00:10.000Z',
        bytes: 2 ** 33,
      }),
    ],
    problems: [],
    startedAt: '2026-11-30T18:03:00.000Z',
    endedAt: '2026-11-30T18:04:02.500Z',
    rtoSeconds: 62,
    rpoSeconds: 57_770,
    ...own,
  };
}

export function drillOf(own: Partial<DrillRun> = {}): DrillRun {
  const { kind: _kind, ...rest } = restoreOf();
  return {
    ...rest,
    kind: 'DrillRun',
    id: 'shop-20261130030000-cd34',
    mode: 'data',
    scratch: ['drill-shop-20261130030000-cd34'],
    removed: true,
    ...own,
  };
}

function layer(name: string, from: string, to: string) {
  return {
    members: [ref(name)],
    startedAt: `2026-11-30T${from}.000Z`,
    healthyAt: `2026-11-30T${to}.000Z`,
  };
}

function times(gatedMs: number, releasedMs: number, readyMs: number, healthyMs: number) {
  return { gatedMs, releasedMs, readyMs, healthyMs };
}
