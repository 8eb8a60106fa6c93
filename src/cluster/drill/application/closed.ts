import { at, type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import { ANNOTATIONS } from '../../objects/names.ts';
import { type DrillMarks, drillAnnotations, drillLabels } from '../marks.ts';

/**
 * What a drill makes of an application. All other kinds are left out: what runs by itself, leads to or from the
 * outside, grants rights, or makes an operator work.
 */
const KINDS = new Set([
  'ConfigMap',
  'Deployment',
  'PersistentVolumeClaim',
  'Pod',
  'ReplicaSet',
  'Secret',
  'Service',
  'ServiceAccount',
  'StatefulSet',
]);
const TEMPLATED = new Set(['Deployment', 'ReplicaSet', 'StatefulSet']);
/** Members of these kinds are made; an operator's resource is not. */
export const DRILLED_MEMBERS: ReadonlySet<string> = new Set([...TEMPLATED, 'Pod']);

export interface Closed {
  readonly objects: readonly KubeObject[];
  /** Kinds that were left out, sorted. */
  readonly leftOut: readonly string[];
}

/** The objects as they may exist in a scratch namespace. Pure. @param copies in the scratch namespaces */
export function closedObjects(copies: readonly KubeObject[], marks: DrillMarks): Closed {
  const left = new Set<string>();
  const objects = copies.flatMap((one) => {
    const { kind = '', apiVersion = 'v1' } = one;
    const builtIn = apiVersion === 'v1' || apiVersion === 'apps/v1';
    const outside = kind === 'Service' && textAt(one, 'spec', 'type') === 'ExternalName';
    if (!builtIn || !KINDS.has(kind) || outside) {
      left.add(outside ? 'Service of type ExternalName' : kind);
      return [];
    }
    return [marked(closed(one, marks), marks)];
  });
  return { objects, leftOut: [...left].toSorted() };
}

function marked(object: KubeObject, marks: DrillMarks): KubeObject {
  const { labels, annotations } = object.metadata ?? {};
  const metadata = {
    ...object.metadata,
    labels: { ...labels, ...drillLabels(marks) },
    annotations: { ...annotations, ...drillAnnotations(marks) },
  };
  return { ...object, metadata };
}

function closed(object: KubeObject, marks: DrillMarks): KubeObject {
  const { kind = '' } = object;
  const spec = object['spec'];
  if (kind === 'Service') return { ...object, spec: inside(spec) };
  if (kind === 'ServiceAccount') return { ...object, automountServiceAccountToken: false };
  if (kind === 'Pod') {
    const { metadata } = forTemplate(object, marks);
    return {
      ...object,
      metadata: metadata,
      spec: harmless(spec),
    };
  }
  if (!TEMPLATED.has(kind)) return object;
  const template = at(spec, 'template');
  const whole = { ...forTemplate(template, marks), spec: harmless(at(template, 'spec')) };
  return { ...object, spec: { ...(spec as object), template: whole } };
}

/** What the pods carry: prepare-restore takes their volumes for copies, and no backup takes them. */
function forTemplate(template: unknown, marks: DrillMarks): { readonly metadata: object } {
  const metadata = at(template, 'metadata') as KubeObject['metadata'];
  return {
    metadata: {
      ...metadata,
      labels: { ...metadata?.labels, ...drillLabels(marks) },
      annotations: { ...metadata?.annotations, [ANNOTATIONS.restoreName]: marks.id },
    },
  };
}

const OUTWARD = [
  'allocateLoadBalancerNodePorts',
  'externalIPs',
  'externalName',
  'externalTrafficPolicy',
  'healthCheckNodePort',
  'loadBalancerClass',
  'loadBalancerIP',
  'loadBalancerSourceRanges',
];

/** A Service for the namespace alone. */
function inside(spec: unknown): object {
  const kept = Object.entries(spec ?? {}).filter(([key]) => !OUTWARD.includes(key));
  const ports = listAt(spec, 'ports').map((one) => without(one, ['nodePort']));
  return { ...Object.fromEntries(kept), type: 'ClusterIP', ...(ports.length > 0 && { ports }) };
}

const ON_THE_NODE = [
  'hostNetwork',
  'hostPID',
  'hostIPC',
  'nodeName',
  'priorityClassName',
  'priority',
];
const KEPT = [
  'configMap',
  'secret',
  'downwardAPI',
  'emptyDir',
  'persistentVolumeClaim',
  'projected',
];

/** Nothing of the node, of a shared file system, or of the API server. */
function harmless(spec: unknown): object {
  const volumes = listAt(spec, 'volumes').map((one) => {
    const known = KEPT.some((key) => at(one, key) !== undefined);
    return known ? one : { name: textAt(one, 'name'), emptyDir: {} };
  });
  const containers = (list: string): object => {
    const all = listAt(spec, list).map((one) => ({
      ...(one as object),
      ports: listAt(one, 'ports').map((port) => without(port, ['hostPort'])),
    }));
    return all.length === 0 ? {} : { [list]: all };
  };
  return {
    ...without(spec, ON_THE_NODE),
    ...containers('containers'),
    ...containers('initContainers'),
    volumes,
    automountServiceAccountToken: false,
  };
}

function without(value: unknown, keys: readonly string[]): object {
  const entries = Object.entries(value ?? {});
  return Object.fromEntries(entries.filter(([key]) => !keys.includes(key)));
}
