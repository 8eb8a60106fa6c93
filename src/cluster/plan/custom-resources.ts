import type { KubeObject } from '../inventory/catalog.ts';
import type { Stage } from './document.ts';

/** A kind of custom resource whose operator makes pods. */
export interface KnownResource {
  readonly group: string;
  readonly kind: string;
  readonly stage: Stage;
  /** An engine's name, or what its server is known as. */
  readonly engine?: string;
  /** Names of the Services that the operator makes for a resource of this name, in its namespace. */
  services(name: string): readonly string[];
  /** The resource of the same namespace that this one is a part of: both are one member. */
  partOf?(object: KubeObject): { readonly kind: string; readonly name: string } | undefined;
}

export const KNOWN: readonly KnownResource[] = [
  {
    group: 'postgresql.cnpg.io',
    kind: 'Cluster',
    stage: 'databases',
    engine: 'postgres',
    services: (name) => [`${name}-rw`, `${name}-ro`, `${name}-r`],
  },
  {
    group: 'kafka.strimzi.io',
    kind: 'Kafka',
    stage: 'messaging',
    engine: 'kafka',
    services: (name) => [`${name}-kafka-bootstrap`, `${name}-kafka-brokers`],
  },
  {
    group: 'kafka.strimzi.io',
    kind: 'KafkaNodePool',
    stage: 'messaging',
    engine: 'kafka',
    services: () => [],
    partOf: ({ metadata }) => {
      const name = metadata?.labels?.['strimzi.io/cluster'];
      return name === undefined ? undefined : { kind: 'Kafka', name };
    },
  },
];

/** Fields of a spec that hint at pods. */
const POD_FIELDS = [
  'replicas',
  'instances',
  'template',
  'podTemplate',
  'storage',
  'volumeClaimTemplates',
];

/** The entry of the table; `unknown`: it looks as if it made pods, and the table lacks it. */
export function knownResource(object: KubeObject): KnownResource | 'unknown' | undefined {
  const group = groupOf(object);
  const found = KNOWN.find((one) => one.group === group && one.kind === object.kind);
  if (found !== undefined) return found;
  const { spec } = object;
  if (group === '' || isOfKubernetes(group) || typeof spec !== 'object' || spec === null) {
    return undefined;
  }
  return POD_FIELDS.some((field) => Object.hasOwn(spec, field)) ? 'unknown' : undefined;
}

/** `''` for the core group. */
export function groupOf({ apiVersion = '' }: KubeObject): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

/** Kubernetes' own groups have no dot, or end in its domain. */
function isOfKubernetes(group: string): boolean {
  return !group.includes('.') || group.endsWith('.k8s.io');
}
