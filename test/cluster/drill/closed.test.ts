import { describe, expect, it } from 'vitest';
import { closedObjects } from '../../../src/cluster/drill/application/closed.ts';
import { drilledPlan } from '../../../src/cluster/drill/application/source.ts';
import { amongThemselves, quotaFor } from '../../../src/cluster/drill/isolation.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { livePod, MARKS, sourceOf, statefulSet } from './source-of-test.ts';

const object = (kind: string, apiVersion: string, spec: object = {}): KubeObject => ({
  kind,
  apiVersion,
  metadata: { name: kind.toLowerCase(), namespace: 'drill-shop' },
  spec,
});

describe('what a drill makes of an application', () => {
  it('nothing that runs by itself, leads in or out, grants rights, or makes an operator work', () => {
    const dangers = [
      object('Job', 'batch/v1'),
      object('CronJob', 'batch/v1'),
      object('Ingress', 'networking.k8s.io/v1'),
      // It would add to what the drill's own policy allows.
      object('NetworkPolicy', 'networking.k8s.io/v1'),
      object('HTTPRoute', 'gateway.networking.k8s.io/v1'),
      object('HorizontalPodAutoscaler', 'autoscaling/v2'),
      object('PodDisruptionBudget', 'policy/v1'),
      object('RoleBinding', 'rbac.authorization.k8s.io/v1'),
      object('DaemonSet', 'apps/v1'),
      object('Endpoints', 'v1'),
      object('Certificate', 'cert-manager.io/v1'),
      object('ExternalSecret', 'external-secrets.io/v1'),
      object('ServiceMonitor', 'monitoring.coreos.com/v1'),
      object('ScaledObject', 'keda.sh/v1alpha1'),
      object('Cluster', 'postgresql.cnpg.io/v1'),
      // Of another group than Kubernetes' own.
      object('Service', 'serving.knative.dev/v1'),
      object('Service', 'v1', { type: 'ExternalName', externalName: 'db.prod.example' }),
    ];
    const { objects, leftOut } = closedObjects(dangers, MARKS);
    expect(objects).toEqual([]);
    expect(leftOut).toHaveLength(dangers.length);
  });

  it('Services for the namespace alone', () => {
    const service = object('Service', 'v1', {
      type: 'LoadBalancer',
      loadBalancerIP: '192.0.2.1',
      externalIPs: ['192.0.2.2'],
      externalTrafficPolicy: 'Local',
      selector: { app: 'db' },
      ports: [{ port: 5432, nodePort: 30_000 }],
    });
    const [made] = closedObjects([service], MARKS).objects;
    expect(made?.['spec']).toEqual({
      type: 'ClusterIP',
      selector: { app: 'db' },
      ports: [{ port: 5432 }],
    });
    const headless = object('Service', 'v1', { clusterIP: 'None', ports: [{ port: 1 }] });
    expect(closedObjects([headless], MARKS).objects[0]?.['spec']).toMatchObject({
      clusterIP: 'None',
    });
  });

  it('pods without the node, shared storage, ports of the host and tokens; taken for a restore', () => {
    const [made] = closedObjects([statefulSet()], MARKS).objects;
    const text = JSON.stringify(made);
    for (const word of ['nfs.prod', 'hostNetwork', 'hostPort', 'production-critical']) {
      expect(text, word).not.toContain(word);
    }
    expect(made).toMatchObject({
      metadata: {
        labels: { 'quiesce.dev/drill': MARKS.id },
        annotations: { 'quiesce.dev/expires': MARKS.expires },
      },
      spec: {
        template: {
          metadata: {
            labels: { 'velero.io/exclude-from-backup': 'true', 'quiesce.dev/inject': 'true' },
            annotations: { 'quiesce.dev/restore-name': MARKS.id },
          },
          spec: { automountServiceAccountToken: false },
        },
      },
    });
  });

  it('all kinds that it makes carry the marks by which they are found', () => {
    const kinds = ['Secret', 'ConfigMap', 'ServiceAccount', 'PersistentVolumeClaim', 'Service'];
    const { objects } = closedObjects([...kinds.map((one) => object(one, 'v1')), livePod()], MARKS);
    expect(objects).toHaveLength(6);
    for (const one of objects) {
      expect(one.metadata?.labels?.['quiesce.dev/drill']).toBe(MARKS.id);
      expect(one.metadata?.annotations?.['quiesce.dev/expires']).toBe(MARKS.expires);
    }
  });

  it('no member that only an operator could make', () => {
    const { plan } = sourceOf([statefulSet(), livePod()], []);
    const [layer] = plan.layers;
    const cluster = layer?.members.map((one) => ({ ...one, kind: 'Cluster' })) ?? [];
    const both = { ...plan, layers: [{ members: cluster }, ...plan.layers] };
    expect(drilledPlan(both).layers).toEqual(plan.layers);
  });

  it('its pods reach one another and names, and nobody else; no load balancer comes to be', () => {
    const { spec } = amongThemselves('drill-shop', MARKS) as { spec?: { egress: object[] } };
    const own = { namespaceSelector: { matchLabels: { 'quiesce.dev/drill': MARKS.id } } };
    expect(spec).toMatchObject({ podSelector: {}, ingress: [{ from: [own] }] });
    expect(spec?.egress).toHaveLength(2);
    expect(spec?.egress[0]).toEqual({ to: [own] });
    const { hard } = quotaFor('drill-shop', MARKS, undefined)['spec'] as { hard: object };
    expect(hard).toMatchObject({ 'services.loadbalancers': '0', 'services.nodeports': '0' });
  });
});
