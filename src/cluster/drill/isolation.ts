import { annotationsOf, type KubeObject, labelsOf } from '../objects/kube-object.ts';
import { RESTORE } from '../restore/names.ts';
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

/** Pods of one drill talk to one another, and ask for names. Everything else is as with {@link denyAll}. */
export function amongThemselves(namespace: string, marks: DrillMarks): KubeObject {
  const own = { namespaceSelector: { matchLabels: { [RESTORE.drill]: marks.id } } };
  const dns = {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
    podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
  };
  const ports = ['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 }));
  return {
    ...denyAll(namespace, marks),
    spec: {
      podSelector: {},
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [own] }],
      egress: [{ to: [own] }, { to: [dns], ports }],
    },
  };
}

/** Of a whole application: Services, but none that the outside reaches. */
const WHOLE = { 'services.loadbalancers': '0', 'services.nodeports': '0' };

/** Of copies of databases. One pod more: the probe of the isolation. */
function few({ pods, claims }: { readonly pods: number; readonly claims: number }): object {
  return { pods: String(pods + 1), persistentvolumeclaims: String(claims), services: '0' };
}

/**
 * Bounds what can come to be in the namespace, whoever makes it: no Ingress, no Job.
 *
 * @param counts of copies of databases; `undefined`: the whole application
 */
export function quotaFor(
  namespace: string,
  marks: DrillMarks,
  counts: { readonly pods: number; readonly claims: number } | undefined,
): KubeObject {
  const none = ['jobs.batch', 'cronjobs.batch', 'ingresses.networking.k8s.io'];
  return {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: marked(FENCE, namespace, marks),
    spec: {
      hard: {
        ...(counts === undefined ? WHOLE : few(counts)),
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
