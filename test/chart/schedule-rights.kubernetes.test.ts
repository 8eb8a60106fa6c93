import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUILD_TIMEOUT_MS, type Manifest, realHelm } from '../support/helm.ts';
import { type ControlPlane, startControlPlane } from '../support/kubernetes.ts';
import { ClusterClient } from './cluster.ts';
import { APPLICATIONS } from './values.ts';

type Access = Readonly<Record<string, string>>;

const RELEASE = 'quiesce-system';
const account = (name: string): string =>
  `system:serviceaccount:${RELEASE}:quiesce-snapshot-${name}`;
const EXPORTER = `system:serviceaccount:${RELEASE}:quiesce-exporter`;

let control: ControlPlane;
let cluster: ClusterClient;

beforeAll(async () => {
  control = await startControlPlane();
  const kubeconfig = await control.kubeconfig('nobody');
  await control.must('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'admin' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  });
  cluster = new ClusterClient(kubeconfig);
  for (const name of [RELEASE, 'shop', 'queue', 'other']) await control.namespace(name);
  const helm = await realHelm();
  const rendered = await helm.template(...APPLICATIONS);
  for (const one of rendered.filter(isRight)) await cluster.apply(one);
}, BUILD_TIMEOUT_MS);

afterAll(async () => {
  await control?.stop();
});

function isRight({ kind, metadata }: Manifest): boolean {
  const component = metadata.labels?.['app.kubernetes.io/component'];
  return (
    /^(?:ServiceAccount|(?:Cluster)?Role(?:Binding)?)$/.test(kind) &&
    (component === 'schedule' || component === 'exporter')
  );
}

/** Every verb of a rule on every resource. */
function each(group: string, resources: string, verbs: string): Access[] {
  return resources.split(' ').flatMap((one) => {
    const [resource = '', subresource] = one.split('/');
    return verbs.split(' ').map((verb) => ({
      ...(group && { group }),
      resource,
      ...(subresource && { subresource }),
      verb,
    }));
  });
}

/** What one run does in a namespace of its application, call by call. */
const IN_NAMESPACE: readonly Access[] = [
  ...each('', 'pods persistentvolumeclaims services', 'list'),
  ...each('apps', 'statefulsets deployments daemonsets replicasets', 'list'),
  ...each('', 'pods/portforward pods/exec', 'get create'),
  ...each('snapshot.storage.k8s.io', 'volumesnapshots', 'get list create patch delete'),
  ...each('coordination.k8s.io', 'leases', 'get create patch'),
  ...each('', 'configmaps', 'get list create patch delete'),
];

const CUSTOM = each('postgresql.cnpg.io', 'clusters', 'get list');

const GROUP_SNAPSHOTS: readonly Access[] = [
  ...each('groupsnapshot.storage.k8s.io', 'volumegroupsnapshots', 'get list create patch delete'),
  ...each('', 'persistentvolumeclaims', 'patch'),
];

const ON_THE_CLUSTER: readonly Access[] = [
  ...each('', 'persistentvolumes', 'get'),
  ...each('storage.k8s.io', 'storageclasses', 'list'),
  ...each('snapshot.storage.k8s.io', 'volumesnapshotclasses', 'list'),
  ...each('snapshot.storage.k8s.io', 'volumesnapshotcontents', 'get'),
];

const GROUP_SNAPSHOTS_ON_THE_CLUSTER: readonly Access[] = [
  ...each('groupsnapshot.storage.k8s.io', 'volumegroupsnapshotclasses', 'list'),
  ...each('groupsnapshot.storage.k8s.io', 'volumegroupsnapshotcontents', 'get'),
];

/** What nobody who takes snapshots may do, not even in the application. */
const DANGEROUS: readonly Access[] = [
  ...each('', 'secrets', 'get list watch create update patch delete'),
  ...each('', 'serviceaccounts/token', 'create'),
  ...each('', 'pods', 'create update patch delete deletecollection'),
  ...each('', 'pods/attach pods/proxy pods/ephemeralcontainers', 'get create update patch'),
  ...each('', 'persistentvolumeclaims', 'create update delete deletecollection'),
  ...each('', 'persistentvolumes', 'create update patch delete'),
  ...each('', 'services', 'create update patch delete'),
  ...each('', 'namespaces', 'create update patch delete'),
  ...each('', 'nodes nodes/proxy', 'get list'),
  ...each('apps', 'statefulsets deployments daemonsets replicasets', 'create update patch delete'),
  ...each('batch', 'jobs cronjobs', 'create update patch delete'),
  ...each('snapshot.storage.k8s.io', 'volumesnapshotcontents', 'create update patch delete'),
  ...each('snapshot.storage.k8s.io', 'volumesnapshotclasses', 'create update patch delete'),
  ...each('rbac.authorization.k8s.io', 'roles rolebindings', 'create update patch delete bind'),
  ...each('', 'users groups', 'impersonate'),
];

async function wrong(
  user: string,
  namespace: string | undefined,
  asked: readonly Access[],
  may: boolean,
): Promise<Access[]> {
  const place = namespace === undefined ? {} : { namespace };
  const answers = await Promise.all(
    asked.map(
      async (access) => [access, await cluster.mayDo(user, { ...access, ...place })] as const,
    ),
  );
  return answers.filter(([, allowed]) => allowed !== may).map(([access]) => access);
}

const key = (access: Access): string =>
  [access['group'] ?? '', access['resource'], access['subresource'] ?? '', access['verb']].join(
    '|',
  );

/** The rights that the chart gives, read from the rendered roles. */
async function given(kind: string, name: string, namespace?: string): Promise<string[]> {
  const root = '/apis/rbac.authorization.k8s.io/v1';
  const path =
    namespace === undefined
      ? `${root}/clusterroles/${name}`
      : `${root}/namespaces/${namespace}/roles/${name}`;
  const role = await cluster.get(path);
  if (role === undefined) throw new Error(`there is no ${kind} ${name}`);
  const rules = role['rules'] as { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  return rules.flatMap(({ apiGroups, resources, verbs }) =>
    resources.flatMap((one) => each(apiGroups[0] ?? '', one, verbs.join(' ')).map(key)),
  );
}

const sorted = (list: readonly string[]): string[] => [...new Set(list)].toSorted();

describe('the account of a schedule', () => {
  test('may do what a run does, in its namespaces and on the cluster', async () => {
    expect(await wrong(account('nightly'), 'shop', IN_NAMESPACE, true)).toEqual([]);
    expect(await wrong(account('nightly'), undefined, ON_THE_CLUSTER, true)).toEqual([]);
    for (const namespace of ['shop', 'queue']) {
      const all = [...IN_NAMESPACE, ...GROUP_SNAPSHOTS, ...CUSTOM];
      expect(await wrong(account('weekly'), namespace, all, true)).toEqual([]);
    }
  });

  test('may do nothing else: the roles hold these rights and no further one', async () => {
    const name = (of: string): string => `${RELEASE}-quiesce-snapshot-${of}`;
    const asked = (list: readonly Access[]): string[] => sorted(list.map(key));
    expect(sorted(await given('Role', name('nightly'), 'shop'))).toEqual(asked(IN_NAMESPACE));
    expect(sorted(await given('Role', name('weekly'), 'queue'))).toEqual(
      asked([...IN_NAMESPACE, ...GROUP_SNAPSHOTS, ...CUSTOM]),
    );
    expect(sorted(await given('ClusterRole', name('nightly')))).toEqual(asked(ON_THE_CLUSTER));
    expect(sorted(await given('ClusterRole', name('weekly')))).toEqual(
      asked([...ON_THE_CLUSTER, ...GROUP_SNAPSHOTS_ON_THE_CLUSTER]),
    );
  });

  test('may not change an application, read a Secret or raise its rights', async () => {
    for (const namespace of ['shop', 'other', RELEASE, undefined]) {
      expect(await wrong(account('weekly'), namespace, DANGEROUS, false), namespace).toEqual([]);
    }
  });

  test('may not label claims unless group snapshots need it', async () => {
    expect(await wrong(account('nightly'), 'shop', GROUP_SNAPSHOTS, false)).toEqual([]);
  });

  test('may do none of it in other namespaces', async () => {
    const all = [...IN_NAMESPACE, ...GROUP_SNAPSHOTS];
    for (const namespace of ['other', RELEASE, 'kube-system']) {
      expect(await wrong(account('weekly'), namespace, all, false), namespace).toEqual([]);
    }
    expect(await wrong(account('nightly'), 'queue', IN_NAMESPACE, false)).toEqual([]);
  });
});

describe('the account of the exporter', () => {
  const READS: readonly Access[] = [
    ...each('', 'configmaps', 'list watch'),
    ...each('snapshot.storage.k8s.io', 'volumesnapshots', 'list watch'),
  ];
  test('may read what it exports, everywhere, and nothing more', async () => {
    expect(await wrong(EXPORTER, 'shop', READS, true)).toEqual([]);
    expect(
      await wrong(EXPORTER, undefined, [...READS, ...each('', 'namespaces', 'list')], true),
    ).toEqual([]);
    for (const namespace of ['shop', RELEASE, undefined]) {
      expect(await wrong(EXPORTER, namespace, DANGEROUS, false), namespace).toEqual([]);
    }
    const reach = each('', 'pods/portforward pods/exec', 'get create');
    expect(await wrong(EXPORTER, 'shop', reach, false)).toEqual([]);
    const change = each('', 'configmaps', 'create update patch delete');
    expect(await wrong(EXPORTER, 'shop', change, false)).toEqual([]);
  });
});

test('the docs name every right on pods that a schedule has', async () => {
  const page = await readFile('docs/security.md', 'utf8');
  for (const right of ['pods/portforward', 'pods/exec']) expect(page).toContain(right);
});
