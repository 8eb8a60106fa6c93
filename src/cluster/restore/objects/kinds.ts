import type { Resource } from '../../inventory/resources.ts';
import { PLAN_RESOURCES } from '../../plan/resources.ts';

const core = { group: '', version: 'v1', namespaced: true } as const;
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1', namespaced: true } as const;
const batch = { group: 'batch', version: 'v1', namespaced: true } as const;
const network = { group: 'networking.k8s.io', version: 'v1', namespaced: true } as const;
const why = 'objects of the application';

/** What a restore reads of an application that runs, to make it elsewhere. */
export const OBJECT_RESOURCES: readonly Resource[] = [
  ...PLAN_RESOURCES.map((one) => ('optional' in one ? required(one) : one)),
  { ...core, kind: 'Secret', plural: 'secrets', why },
  { ...core, kind: 'ServiceAccount', plural: 'serviceaccounts', why },
  { ...core, kind: 'LimitRange', plural: 'limitranges', why },
  { ...core, kind: 'ResourceQuota', plural: 'resourcequotas', why },
  { ...core, kind: 'Endpoints', plural: 'endpoints', why },
  { ...rbac, kind: 'Role', plural: 'roles', why },
  { ...rbac, kind: 'RoleBinding', plural: 'rolebindings', why },
  { ...batch, kind: 'Job', plural: 'jobs', why },
  { ...batch, kind: 'CronJob', plural: 'cronjobs', why },
  { ...network, kind: 'NetworkPolicy', plural: 'networkpolicies', why },
  { ...network, kind: 'Ingress', plural: 'ingresses', why },
  {
    group: 'policy',
    version: 'v1',
    kind: 'PodDisruptionBudget',
    plural: 'poddisruptionbudgets',
    namespaced: true,
    why,
  },
  {
    group: 'autoscaling',
    version: 'v2',
    kind: 'HorizontalPodAutoscaler',
    plural: 'horizontalpodautoscalers',
    namespaced: true,
    why,
  },
];

/** A copy without its ConfigMaps would not be the application. */
function required({ optional, ...resource }: Resource): Resource {
  return optional === true && resource.namespaced ? resource : { ...resource, optional: true };
}

/** What members' resources need beside them, which makes no pods itself. */
export const BESIDE_MEMBERS: readonly { readonly group: string; readonly kind: string }[] = [
  { group: 'kafka.strimzi.io', kind: 'KafkaTopic' },
  { group: 'kafka.strimzi.io', kind: 'KafkaUser' },
  { group: 'postgresql.cnpg.io', kind: 'Database' },
  { group: 'postgresql.cnpg.io', kind: 'ImageCatalog' },
  ...['Queue', 'Exchange', 'Binding', 'User', 'Permission', 'Policy', 'Vhost'].map((kind) => ({
    group: 'rabbitmq.com',
    kind,
  })),
  { group: 'k8s.keycloak.org', kind: 'KeycloakRealmImport' },
];

/** The order in which objects are created: what others need comes first. Kinds that are absent: resources. */
const ORDER = [
  'ResourceQuota',
  'LimitRange',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
  'Role',
  'RoleBinding',
  'NetworkPolicy',
  'PersistentVolumeClaim',
  'Service',
  'Endpoints',
  'PodDisruptionBudget',
  '',
  'StatefulSet',
  'Deployment',
  'DaemonSet',
  'ReplicaSet',
  'ReplicationController',
  'Pod',
  'Job',
  'CronJob',
  'HorizontalPodAutoscaler',
  'Ingress',
];
const RANKS = new Map(ORDER.map((kind, index) => [kind, index]));

export function rankOf(kind: string): number {
  return RANKS.get(kind) ?? RANKS.get('') ?? 0;
}

/** Kubernetes' own kinds that make an application. */
export const BUILT_IN: ReadonlySet<string> = new Set(ORDER.filter((kind) => kind !== ''));

/** What leads from the outside to an application: it would take the original's visitors. */
export const WAYS_IN =
  /^(?:Ingress|Gateway|(?:HTTP|GRPC|TLS|TCP|UDP)?Route|IngressRoute\w*|VirtualService|HTTPProxy|DNSEndpoint)$/;
