import {
  annotationsOf,
  at,
  type KubeObject,
  labelsOf,
  listAt,
  textAt,
} from '../../objects/kube-object.ts';
import { RESTORE } from '../names.ts';
import { type Moving, withoutKeys } from './metadata.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What the fields of an object become, by its kind. `undefined`: it is as it was. */
export function fieldsOf(object: KubeObject, from: string, moving: Moving): Fields | undefined {
  const elsewhere = (moving.namespaces.get(from) ?? from) !== from;
  switch (object.kind ?? '') {
    case 'Service':
      return { spec: serviceSpec(object, elsewhere && !moving.withIngress) };
    case 'ServiceAccount':
      // The names of token Secrets, which the cluster made.
      return { secrets: undefined };
    case 'RoleBinding':
      return { subjects: listAt(object, 'subjects').map((one) => mapped(one, moving)) };
    case 'NetworkPolicy':
      return { spec: inNamespaces(object['spec'], moving) };
    case 'Pod':
      return { spec: podSpec(object['spec']) };
    case 'Job':
      return { spec: jobSpec(object['spec']) };
    case 'CronJob':
      return suspended(object, moving);
    case 'PersistentVolumeClaim':
      return { spec: withoutKeys(object['spec'], ['volumeName', 'dataSource', 'dataSourceRef']) };
    default:
      return undefined;
  }
}

const GIVEN = ['clusterIP', 'clusterIPs', 'healthCheckNodePort'];
const OUTSIDE = [
  'loadBalancerIP',
  'externalIPs',
  'loadBalancerClass',
  'externalTrafficPolicy',
  'allocateLoadBalancerNodePorts',
  'loadBalancerSourceRanges',
];

/** @param inside it gets no way in from the outside: that of the original would lead to the copy */
function serviceSpec(object: KubeObject, inside: boolean): unknown {
  const spec = at(object, 'spec') as Fields | undefined;
  const type = textAt(spec, 'type') ?? 'ClusterIP';
  const headless = textAt(spec, 'clusterIP') === 'None';
  const outward = type === 'LoadBalancer' || type === 'NodePort';
  const plain = withoutKeys(spec, [...GIVEN, ...(inside ? OUTSIDE : [])]) as Fields;
  const ports = listAt(spec, 'ports').map((one) => withoutKeys(one, ['nodePort']));
  return {
    ...plain,
    ...(headless && { clusterIP: 'None' }),
    ...(ports.length > 0 && { ports }),
    ...(inside && outward && { type: 'ClusterIP' }),
  };
}

function mapped(subject: unknown, { namespaces }: Moving): unknown {
  const namespace = textAt(subject, 'namespace') ?? '';
  return namespaces.has(namespace)
    ? { ...(subject as object), namespace: namespaces.get(namespace) }
    : subject;
}

const NAME_LABELS = new Set(['kubernetes.io/metadata.name', 'name']);

/** Selectors of namespaces by their name mean the copy of that namespace. */
function inNamespaces(value: unknown, moving: Moving, selects = false): unknown {
  if (Array.isArray(value)) return value.map((one: unknown) => inNamespaces(one, moving, selects));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, below]: [string, unknown]) => {
      if (selects && NAME_LABELS.has(key) && typeof below === 'string') {
        return [key, moving.namespaces.get(below) ?? below];
      }
      const named = selects && NAME_LABELS.has(textAt(value, 'key') ?? '');
      if (named && key === 'values' && Array.isArray(below)) {
        return [key, below.map((one: unknown) => moving.namespaces.get(String(one)) ?? one)];
      }
      return [key, inNamespaces(below, moving, selects || key === 'namespaceSelector')];
    }),
  );
}

/** A pod without a controller: the token and the node were given to the one that was. */
function podSpec(spec: unknown): unknown {
  const own = withoutKeys(spec, ['nodeName', 'schedulingGates', 'priority', 'preemptionPolicy']);
  const isToken = (name: string | undefined): boolean =>
    name?.startsWith('kube-api-access-') === true;
  const mounts = (list: readonly unknown[]): readonly unknown[] =>
    list.map((one) => ({
      ...(one as object),
      volumeMounts: listAt(one, 'volumeMounts').filter((mount) => !isToken(textAt(mount, 'name'))),
    }));
  const init = listAt(spec, 'initContainers');
  return {
    ...(own as object),
    volumes: listAt(spec, 'volumes').filter((one) => !isToken(textAt(one, 'name'))),
    containers: mounts(listAt(spec, 'containers')),
    ...(init.length > 0 && { initContainers: mounts(init) }),
  };
}

const OF_THE_JOB = [
  'controller-uid',
  'batch.kubernetes.io/controller-uid',
  'job-name',
  'batch.kubernetes.io/job-name',
];

/** Its selector is made anew, unless the user has written it. */
function jobSpec(spec: unknown): unknown {
  const manual = at(spec, 'manualSelector') === true;
  const template = at(spec, 'template') as Fields | undefined;
  const metadata = at(template, 'metadata') as Fields | undefined;
  const labels = withoutKeys(at(metadata, 'labels') ?? {}, OF_THE_JOB);
  return {
    ...(withoutKeys(spec, manual ? [] : ['selector']) as object),
    template: { ...template, metadata: { ...metadata, labels } },
  };
}

/** Until the restore is done. One that was suspended stays so. */
function suspended(object: KubeObject, { id }: Moving): Fields {
  const spec = { ...(object['spec'] as object | undefined), suspend: true };
  if (at(object, 'spec', 'suspend') === true) return { spec };
  return { spec, marks: { [RESTORE.suspended]: id } };
}

/** It has run to its end: to create it again would run it again. */
export function isFinished(object: KubeObject): boolean {
  if (object.kind === 'Pod') {
    return ['Succeeded', 'Failed'].includes(textAt(object, 'status', 'phase') ?? '');
  }
  return (
    object.kind === 'Job' &&
    listAt(object, 'status', 'conditions').some(
      (one) =>
        ['Complete', 'Failed', 'SuccessCriteriaMet', 'FailureTarget'].includes(
          textAt(one, 'type') ?? '',
        ) && textAt(one, 'status') === 'True',
    )
  );
}

/** Made by the cluster in every namespace, or for one object of it. */
export function isMadeByCluster(object: KubeObject): boolean {
  const name = object.metadata?.name ?? '';
  switch (object.kind ?? '') {
    case 'Secret':
      return textAt(object, 'type') === 'kubernetes.io/service-account-token';
    case 'ConfigMap':
      return (
        ['kube-root-ca.crt', 'openshift-service-ca.crt', 'istio-ca-root-cert'].includes(name) ||
        annotationsOf(object)['control-plane.alpha.kubernetes.io/leader'] !== undefined ||
        labelsOf(object)['quiesce.dev/report'] !== undefined
      );
    default:
      return false;
  }
}
