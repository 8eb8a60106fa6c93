import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { APPLICATIONS, KUBEDB_RESOURCES } from './resources/applications.ts';
import type { KnownResource } from './resources/known-resource.ts';
import { MESSAGING } from './resources/messaging.ts';
import { makesNoPods } from './resources/podless.ts';
import { SEARCH } from './resources/search.ts';
import { SQL } from './resources/sql.ts';
import { STORES } from './resources/stores.ts';

export type { KnownResource } from './resources/known-resource.ts';

export const KNOWN: readonly KnownResource[] = [
  ...SQL,
  ...STORES,
  ...SEARCH,
  ...MESSAGING,
  ...APPLICATIONS,
  ...KUBEDB_RESOURCES,
];

const byKind = new Map(KNOWN.map((one) => [`${one.group}/${one.kind}`, one]));

/** Fields of a spec, at any of its upper levels, that hint at pods or volumes. */
const POD_FIELDS =
  /^(?:replicas|instances|size|nodes?|nodeCount|members|nodeSets|nodePools|replsets|image|imageName|podTemplate|podSpec|podSpecOverride|containers|resources|storage|storageClassName|storageClass|volumeClaimTemplates?|volumeClaim|persistence|persistentVolumeClaim|volumes)$/;
/** How deep the fields of a spec are looked at. */
const LEVELS = 3;
/** Resources that bring whole applications, which nobody sees in their spec. */
const BRING_APPLICATIONS = new Set([
  'HelmRelease',
  'HelmChart',
  'Application',
  'ApplicationSet',
  'Kustomization',
]);

/** The entry of the table; `unknown`: it looks as if it made pods, and the table lacks it. */
export function knownResource(object: KubeObject): KnownResource | 'unknown' | undefined {
  const { kind = '', spec } = object;
  const group = groupOf(object);
  const found = byKind.get(`${group}/${kind}`);
  if (found !== undefined) return found;
  if (!group.includes('.') || makesNoPods(group, kind)) return undefined;
  return BRING_APPLICATIONS.has(kind) || looksLikePods(spec, LEVELS) ? 'unknown' : undefined;
}

function looksLikePods(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null || levels === 0) return false;
  return Object.entries(value).some(
    ([key, below]) =>
      (!Array.isArray(value) && POD_FIELDS.test(key)) || looksLikePods(below, levels - 1),
  );
}

/** `''` for the core group. */
export function groupOf({ apiVersion = '' }: KubeObject): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

/** Fields in which resources name the Secret that their controllers make, by kind. */
const SECRET_FIELDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  ExternalSecret: [['target', 'name']],
  SealedSecret: [['template', 'metadata', 'name']],
  Certificate: [['secretName']],
  VaultStaticSecret: [['destination', 'name']],
  VaultDynamicSecret: [['destination', 'name']],
  VaultPKISecret: [['destination', 'name']],
  InfisicalSecret: [['managedSecretReference', 'secretName']],
  DopplerSecret: [['managedSecret', 'name']],
  BitwardenSecret: [['secretName']],
};

/** Kinds whose Secret has the name of the resource, unless a field of the table above says another. */
const SECRET_OF_NAME = new Set([
  'ExternalSecret',
  'SealedSecret',
  'KafkaUser',
  'OnePasswordItem',
  'ObjectBucketClaim',
  'VaultSecret',
]);

/** The names of the Secrets that come from this object, in its namespace. */
export function secretsMadeBy(object: KubeObject): readonly string[] {
  const { kind = '' } = object;
  const name = object.metadata?.name ?? '';
  if (kind === 'Secret') return [name];
  const fields = (SECRET_FIELDS[kind] ?? []).flatMap(
    (path) => textAt(object, 'spec', ...path) ?? [],
  );
  const known = byKind.get(`${groupOf(object)}/${kind}`);
  return [
    ...fields,
    ...(SECRET_OF_NAME.has(kind) && fields.length === 0 ? [name] : []),
    ...(kind === 'User' && groupOf(object) === 'rabbitmq.com' ? [`${name}-user-credentials`] : []),
    ...(kind === 'Ingress' ? ingressSecrets(object) : []),
    ...listAt(object, 'spec', 'secretObjects').flatMap((one) => textAt(one, 'secretName') ?? []),
    ...listAt(object, 'spec', 'secretTemplates').flatMap((one) => textAt(one, 'name') ?? []),
    ...(known?.secrets?.(name, object) ?? []),
  ];
}

/** cert-manager makes the Secrets of an Ingress that names an issuer. */
function ingressSecrets(object: KubeObject): readonly string[] {
  const keys = Object.keys(object.metadata?.annotations ?? {});
  if (!keys.some((key) => /^cert-manager\.io\/(?:cluster-)?issuer$/.test(key))) return [];
  return listAt(object, 'spec', 'tls').flatMap((one) => textAt(one, 'secretName') ?? []);
}

/** ConfigMaps that a cluster puts into every namespace. */
const EVERYWHERE = ['kube-root-ca.crt', 'openshift-service-ca.crt', 'istio-ca-root-cert'];

/** The names of the ConfigMaps that come from this object; of the cluster's own if there is none. */
export function configMapsMadeBy(object: KubeObject | undefined): readonly string[] {
  const name = object?.metadata?.name ?? '';
  switch (object?.kind) {
    case undefined:
      return EVERYWHERE;
    case 'ConfigMap':
    case 'ObjectBucketClaim':
      return [name];
    case 'Bundle':
      return at(object, 'spec', 'target', 'configMap') === undefined ? [] : [name];
    default:
      return [];
  }
}
