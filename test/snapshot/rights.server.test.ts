import { describe, expect, it } from 'vitest';
import { status } from '../cluster/snapshot/simulated-cluster.ts';
import { heldBy, type Shop, shop, snapshot } from './shop.ts';

/** Every list of a kind in a namespace is answered with this status. */
function unreadable({ api }: Shop, plural: string, code: number): void {
  const message = code === 403 ? `${plural} is forbidden: User "dev" cannot list resource` : 'no';
  api.cluster.intercept = (method, path) =>
    method === 'GET' && path.split('?')[0]?.endsWith(`/shop/${plural}`)
      ? status(code, message)
      : undefined;
}

describe('what a run may not do is said before anything is frozen', () => {
  it.each([
    'pods',
    'persistentvolumeclaims',
    'services',
    'statefulsets',
    'deployments',
    'daemonsets',
    'replicasets',
  ])('a list of %s, which may have members or claims of them', async (plural) => {
    const made = await shop();
    unreadable(made, plural, 403);
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'FORBIDDEN']);
    expect(ended.body.error.message).toMatch(new RegExp(`list ${plural}(?:\\.apps)? in shop`));
    expect(ended.body.error.hint).toContain(`resources: [${plural}], verbs: [list]`);
    expect(made.db.engine.calls).not.toContain('hold');
  });

  it('a list that the API server fails to give is no empty list', async () => {
    const made = await shop();
    unreadable(made, 'deployments', 500);
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'CLUSTER_UNREACHABLE']);
    expect(ended.body.error.message).toContain('deployments.apps in shop could not be read');
    expect(made.db.engine.calls).not.toContain('hold');
  });

  it.each(['get', 'create', 'patch'])('%s of the Lease', async (verb) => {
    const made = await shop();
    made.api.cluster.denied = [`${verb} leases`];
    const ended = await snapshot(made.api);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'FORBIDDEN']);
    expect(ended.body.error.message).toContain(`${verb} leases.coordination.k8s.io in shop`);
    expect(made.db.engine.calls).not.toContain('hold');
  });

  it('both ways to a sidecar: one manifest allows the better one, and can be applied', async () => {
    const made = await shop();
    made.api.forbidden.add('portforward').add('exec');
    const { message, hint } = (await snapshot(made.api)).body.error;
    const manifest = hint.split('\n').slice(1);
    expect(message).toContain('get pods/exec in shop');
    expect(message).toContain('either pods/portforward or pods/exec is enough');
    expect(manifest.join('\n').trim()).toBe(
      [
        'apiVersion: rbac.authorization.k8s.io/v1',
        'kind: Role',
        'metadata: { name: quiesce-snapshot, namespace: shop }',
        'rules:',
        "  - { apiGroups: [''], resources: [pods/portforward], verbs: [get, create] }",
      ].join('\n'),
    );
    expect(heldBy(made)).toEqual([0, 0]);
  });
});

describe('a cluster that serves group snapshots', () => {
  const FLAGS = ['--no-group-snapshot'];

  it('asks for no right on them where each volume is cut for itself', async () => {
    const made = await shop({ group: true });
    unreadable(made, 'volumegroupsnapshots', 403);
    const ended = await snapshot(made.api, FLAGS);
    expect([ended.code, ended.run.verdict]).toEqual([0, 'proven']);
  });

  it('but for the rest of a run that made one', async () => {
    const made = await shop({ group: true });
    expect((await snapshot(made.api)).run.together?.kind).toBe('exact');
    for (const { metadata } of made.api.cluster.all('volumesnapshots')) {
      const path = `/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots/${metadata?.name}`;
      const labels = { 'quiesce.dev/verdict': 'pending' };
      made.api.cluster.change(path, { metadata: { labels } });
    }
    unreadable(made, 'volumegroupsnapshots', 403);
    const ended = await snapshot(made.api, FLAGS);
    expect([ended.code, ended.body.error?.code]).toEqual([3, 'FORBIDDEN']);
    expect(ended.body.error.message).toContain('list volumegroupsnapshots');
    expect(heldBy(made)).toEqual([0, 0]);
  });
});
