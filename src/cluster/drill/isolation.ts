import { annotationsOf, type KubeObject, labelsOf } from '../inventory/catalog.ts';
import { type DrillMarks, drillAnnotations, drillLabels, marked } from './marks.ts';

const FENCE = 'quiesce-drill';

/** What the pods of a namespace may do is decided by its labels, and on OpenShift by its annotations. */
const SECURITY = /^pod-security\.kubernetes\.io\/|^openshift\.io\/sa\.scc\./;

/** @param like the namespace of the source: what its pods may do, their copies may do, too */
export function scratchNamespace(
  name: string,
  marks: DrillMarks,
  like: KubeObject | undefined,
): KubeObject {
  const own = (all: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(all).filter(([key]) => SECURITY.test(key)));
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name,
      labels: { ...own(labelsOf(like)), ...drillLabels(marks) },
      annotations: { ...own(annotationsOf(like)), ...drillAnnotations(marks) },
    },
  };
}

/** No pod of the namespace may talk to anybody, nor anybody to it. The kubelet still reaches it. */
export function denyAll(namespace: string, marks: DrillMarks): KubeObject {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: marked(FENCE, namespace, marks),
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
  };
}

/** Bounds what can come to be in the namespace, whoever makes it: no Service, no Ingress, no Job. */
export function quotaFor(
  namespace: string,
  marks: DrillMarks,
  { pods, claims }: { readonly pods: number; readonly claims: number },
): KubeObject {
  const none = ['jobs.batch', 'cronjobs.batch', 'ingresses.networking.k8s.io'];
  return {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: marked(FENCE, namespace, marks),
    spec: {
      hard: {
        // One more: the probe of the isolation.
        pods: String(pods + 1),
        persistentvolumeclaims: String(claims),
        services: '0',
        ...Object.fromEntries(none.map((one) => [`count/${one}`, '0'])),
      },
    },
  };
}

/** Containers without requests get small ones, so that a quota of the cluster's own admits them. */
export function limitsFor(namespace: string, marks: DrillMarks): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: marked(FENCE, namespace, marks),
    spec: { limits: [{ type: 'Container', defaultRequest: { cpu: '10m', memory: '64Mi' } }] },
  };
}
