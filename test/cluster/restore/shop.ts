import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { planOf } from '../../../src/cluster/plan/plan.ts';
import type { Plan } from '../../../src/cluster/plan/document.ts';

export interface PartOptions {
  readonly namespace?: string;
  readonly dependsOn?: string;
  readonly priority?: string;
  readonly image?: string;
  readonly replicas?: number;
  readonly claims?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A StatefulSet and its pods, as a backup holds them. */
export function part(name: string, options: PartOptions = {}): readonly KubeObject[] {
  const { namespace = 'shop', dependsOn, priority, image = 'app:1', replicas = 1 } = options;
  const annotations = {
    ...(dependsOn !== undefined && { 'quiesce.dev/depends-on': dependsOn }),
    ...(priority !== undefined && { 'quiesce.dev/priority': priority }),
  };
  const labels = { app: name, ...options.labels };
  const claims = options.claims === true;
  const spec = { containers: [{ name: 'c', image }] };
  const set: KubeObject = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name, namespace, annotations },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels }, spec },
      ...(claims && { volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: {} }] }),
    },
  };
  const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name, uid: name, controller: true };
  const pods = Array.from({ length: replicas }, (_, index): KubeObject => {
    const volume = { name: 'data', persistentVolumeClaim: { claimName: `data-${name}-${index}` } };
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${name}-${index}`, namespace, labels, ownerReferences: [owner], uid: 'u' },
      spec: { ...spec, ...(claims && { volumes: [volume] }) },
      status: { phase: 'Running' },
    };
  });
  return [set, ...pods];
}

/** A database, a cache and a queue below two applications, in three layers. */
export function shop(change: Readonly<Record<string, PartOptions>> = {}): readonly KubeObject[] {
  return [
    ...part('db', { image: 'postgres:17', claims: true, ...change['db'] }),
    ...part('queue', { image: 'rabbitmq:4', ...change['queue'] }),
    ...part('api', { dependsOn: 'db, queue', ...change['api'] }),
    ...part('web', { dependsOn: 'queue', ...change['web'] }),
  ];
}

export function planFor(objects: readonly KubeObject[]): Plan {
  const inventory = { objects, scope: 'cluster', unexamined: [], now: 0 } as const;
  return planOf(inventory, { namespaces: undefined }).plan;
}
