import { QuiesceError } from '../../errors.ts';
import type { ClusterReader } from '../api/reader.ts';
import { forbidden } from '../api/rights.ts';
import { Catalog, type Unexamined } from '../inventory/catalog.ts';
import { Discovery, readOwners } from '../inventory/read-application.ts';
import { ClusterRead } from '../inventory/read-cluster.ts';
import { type Resource, resourceName } from '../inventory/resources.ts';
import { KNOWN } from '../plan/custom-resources.ts';
import type { MemberRef } from '../plan/document.ts';

const core = { group: '', version: 'v1', namespaced: true } as const;
const apps = { group: 'apps', version: 'v1', namespaced: true } as const;

/** What a judgement of members reads in each of their namespaces. */
export const HEALTH_RESOURCES: readonly Resource[] = [
  { ...core, kind: 'Pod', plural: 'pods', why: 'whether they are ready, and why not' },
  { ...core, kind: 'PersistentVolumeClaim', plural: 'persistentvolumeclaims', why: 'claims' },
  { ...core, kind: 'Service', plural: 'services', why: 'Services of the members' },
  { ...apps, kind: 'StatefulSet', plural: 'statefulsets', why: 'members' },
  { ...apps, kind: 'Deployment', plural: 'deployments', why: 'members' },
  { ...apps, kind: 'DaemonSet', plural: 'daemonsets', why: 'members' },
  {
    ...apps,
    kind: 'ReplicaSet',
    plural: 'replicasets',
    why: 'members, and the pods of Deployments',
  },
  {
    group: 'discovery.k8s.io',
    version: 'v1',
    kind: 'EndpointSlice',
    plural: 'endpointslices',
    namespaced: true,
    why: 'where Services lead',
  },
];

const EVENTS: Resource = {
  ...core,
  kind: 'Event',
  plural: 'events',
  why: 'why a pod is not ready',
  optional: true,
};
const NODES: Resource = {
  ...core,
  kind: 'Node',
  plural: 'nodes',
  namespaced: false,
  why: 'whether the node of a pod is ready',
  optional: true,
};

/**
 * Reads what a judgement of these members rests on. Events and nodes only explain: without them the
 * judgement is the same.
 *
 * @throws QuiesceError CLUSTER_UNREACHABLE, FORBIDDEN
 */
export async function readHealth(
  reader: ClusterReader,
  members: readonly MemberRef[],
): Promise<Catalog> {
  const namespaces = [...new Set(members.map(({ namespace }) => namespace))];
  const read = new ClusterRead(reader, {
    namespaces,
    veleroNamespace: '',
    now: 0,
    progress: () => undefined,
  });
  const { date = Date.now() } = await read.get('/version');
  const discovery = new Discovery(read);
  const kinds = new Set(members.map(({ kind }) => kind));
  const custom = KNOWN.filter((one) => kinds.has(one.kind) || one.partOf !== undefined);
  const needsCustom = custom.some((one) => kinds.has(one.kind));
  const served = needsCustom ? await discovery.served(custom) : [];
  await Promise.all([
    ...[...HEALTH_RESOURCES, ...served].map((one) => read.list(one)),
    ...namespaces.flatMap((namespace) => [
      read.listAt(EVENTS, namespace, { fieldSelector: 'type!=Normal' }),
      read.listAt(EVENTS, namespace, {
        fieldSelector: 'type=Normal,involvedObject.kind=PersistentVolumeClaim',
      }),
      readNamespace(read, namespace),
    ]),
    read.listAt(NODES, undefined),
  ]);
  await readOwners(read, discovery);
  const inventory = read.inventory();
  refuseUnread(inventory.unexamined);
  return new Catalog({ ...inventory, namespaces: undefined, now: date });
}

async function readNamespace(read: ClusterRead, name: string): Promise<void> {
  const { status, body } = await read.get(`/api/v1/namespaces/${name}`);
  if (status === 200) read.keep({ apiVersion: 'v1', kind: 'Namespace' }, [body]);
}

/** Without one of these kinds, something broken would count as whole. */
function refuseUnread(unexamined: readonly Unexamined[]): void {
  const needed = unexamined.filter(({ optional }) => !optional);
  const other = needed.find(({ reason }) => !/\bforbidden\b|cannot \w+ resource/.test(reason));
  if (other !== undefined) {
    const text = `${other.resource} could not be read: ${other.reason}.`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', text);
  }
  const [first] = needed;
  if (first === undefined) return;
  const rights = needed.map(({ resource, namespace }) => {
    const [plural = '', ...group] = resource.split('.');
    const place = namespace === undefined ? {} : { namespace };
    return { verb: 'list', group: group.join('.'), resource: plural, ...place };
  });
  throw forbidden(rights, first.reason, rights, 'quiesce-validate');
}

/** For the documentation: all that is read, as `kubectl api-resources` names it. */
export const HEALTH_READS: readonly string[] = [...HEALTH_RESOURCES, EVENTS, NODES].map(
  resourceName,
);
