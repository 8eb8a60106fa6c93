import { describe, expect, it } from 'vitest';
import { describeRun } from '../../src/cluster/snapshot/report/text.ts';
import { QuiesceError } from '../../src/errors.ts';
import type { FarmSidecar } from '../support/sidecar-farm.ts';
import { codes, labels, shop, type Shop, snapshot } from './shop.ts';

const OUT = { 'velero.io/exclude-from-backup': 'true' };
/** The shop, with a second pod of `db`. */
async function shopOfTwo(labelled: object): Promise<Shop & { readonly second: FarmSidecar }> {
  const made = await shop();
  const second = await made.farm.add({ engine: 'postgres', blocks: false });
  made.api.member('db', second, { ordinal: 1, ...labelled });
  return { ...made, second };
}

const cutClaims = ({ api }: Shop): readonly string[] =>
  api.cluster
    .all('volumesnapshots')
    .map((one) => (one['spec'] as { source: { persistentVolumeClaimName: string } }).source)
    .map((source) => source.persistentVolumeClaimName)
    .toSorted();

describe('a snapshot with a label velero.io/exclude-from-backup', () => {
  it.each([
    ['the claim', { claimLabels: OUT }],
    ['the pod', { podLabels: OUT }],
    ['both', { claimLabels: OUT, podLabels: OUT }],
  ])('on %s neither cuts that claim nor freezes its pod, and is proven', async (_, labelled) => {
    const made = await shopOfTwo(labelled);
    const ended = await snapshot(made.api);
    expect([ended.code, ended.run.verdict, codes(ended)]).toEqual([0, 'proven', []]);
    expect(cutClaims(made)).toEqual(['data-cache-0', 'data-db-0']);
    expect(made.second.engine.calls).not.toContain('hold');
    expect(ended.run.leftOut).toEqual([{ namespace: 'shop', claim: 'data-db-1' }]);
    expect(describeRun(ended.run)).toContain('Left out: shop/data-db-1');
    expect(labels(made)).toEqual(['proven', 'proven']);
  });

  it('asks nothing of a pod that is left out: no sidecar, no bound claim, no class', async () => {
    const made = await shopOfTwo({ sidecar: false, driver: 'nobody.example.org', podLabels: OUT });
    made.api.cluster.change('/api/v1/namespaces/shop/persistentvolumeclaims/data-db-1', {
      status: { phase: 'Pending' },
    });
    const ended = await snapshot(made.api);
    expect([ended.code, codes(ended)]).toEqual([0, []]);
  });

  it('that is added while it runs fails it: the claims are no longer those of the plan', async () => {
    const made = await shopOfTwo({});
    const bind = made.api.cluster.onSnapshot;
    made.api.cluster.onSnapshot = (one, cluster) => {
      const path = '/api/v1/namespaces/shop/persistentvolumeclaims/data-db-1';
      cluster.change(path, { metadata: { labels: OUT } });
      bind?.(one, cluster);
    };
    const ended = await snapshot(made.api);
    expect(ended.code).toBe(5);
    expect(new Set(codes(ended))).toEqual(new Set(['MEMBER_CHANGED']));
  });

  it('on everything leaves nothing to cut, and the error names the label', async () => {
    const made = await shopOfTwo({ claimLabels: OUT });
    for (const name of ['db', 'cache']) {
      const path = `/api/v1/namespaces/shop/persistentvolumeclaims/data-${name}-0`;
      made.api.cluster.change(path, { metadata: { labels: OUT } });
    }
    const { code, body } = await snapshot(made.api);
    expect([code, body.error.code]).toEqual([2, 'NO_VOLUMES']);
    expect(body.error.hint).toContain('velero.io/exclude-from-backup');
  });
});

it('a set whose second member may not be frozen fails, and the hint names the way out', async () => {
  const made = await shopOfTwo({});
  made.second.engine.onHold = async () => {
    throw new QuiesceError('ENGINE_MAJORITY', 'Only 1 of the 2 votes would be left.');
  };
  const ended = await snapshot(made.api);
  expect([ended.code, codes(ended)[0]]).toEqual([5, 'ENGINE_MAJORITY']);
  expect(ended.run.problems[0]?.message).toContain('db-1');
  expect(ended.run.problems[0]?.hint).toContain('velero.io/exclude-from-backup: "true"');
  expect([made.db.engine.held, made.second.engine.held]).toEqual([0, 0]);
});
