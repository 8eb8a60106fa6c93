import type { Catalog } from '../../inventory/catalog.ts';
import { at, listAt, textAt } from '../../objects/kube-object.ts';
import type { Pod } from '../../objects/pod.ts';
import { configMapsMadeBy, secretsMadeBy } from '../custom-resources.ts';

export type Referred = 'ConfigMap' | 'Secret';

export interface Reference {
  readonly kind: Referred;
  readonly name: string;
}

/** The ConfigMaps and Secrets that a pod cannot start without. */
export function referencesOf({ spec }: Pod): readonly Reference[] {
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const all = [
    ...containers.flatMap(({ env = [], envFrom = [] }) => [
      ...env.flatMap(({ valueFrom }) => [
        ...required('ConfigMap', at(valueFrom, 'configMapKeyRef')),
        ...required('Secret', at(valueFrom, 'secretKeyRef')),
      ]),
      ...envFrom.flatMap((one) => [
        ...required('ConfigMap', one.configMapRef),
        ...required('Secret', one.secretRef),
      ]),
    ]),
    ...(spec?.volumes ?? []).flatMap(ofVolume),
    ...listAt(spec, 'imagePullSecrets').flatMap((one) => required('Secret', one)),
  ];
  return [...new Map(all.map((one) => [`${one.kind}/${one.name}`, one])).values()];
}

function ofVolume(volume: Readonly<Record<string, unknown>>): readonly Reference[] {
  const projected = listAt(volume, 'projected', 'sources').flatMap((source) => [
    ...required('ConfigMap', at(source, 'configMap')),
    ...required('Secret', at(source, 'secret')),
  ]);
  const inline = Object.values(volume).flatMap((source) => [
    ...required('Secret', at(source, 'secretRef')),
    ...required('Secret', at(source, 'nodePublishSecretRef')),
  ]);
  return [
    ...required('ConfigMap', volume['configMap']),
    ...required('Secret', volume['secret'], 'secretName'),
    ...required('Secret', volume['azureFile'], 'secretName'),
    ...projected,
    ...inline,
  ];
}

function required(kind: Referred, reference: unknown, field = 'name'): readonly Reference[] {
  const name = textAt(reference, field);
  // Kubernetes itself makes the token of a service account.
  const token = kind === 'Secret' && name !== undefined && /-token-[a-z0-9]{5}$/.test(name);
  if (name === undefined || name === '' || token || at(reference, 'optional') === true) return [];
  return [{ kind, name }];
}

/** The ConfigMaps and Secrets that are among the objects, or that one of them makes. */
export class Made {
  readonly #names = new Set<string>();
  readonly #known: Readonly<Record<Referred, boolean>>;

  constructor(catalog: Catalog) {
    const objects = catalog.kinds.flatMap((kind) => catalog.all(kind));
    for (const object of objects) {
      // The ConfigMap of a Bundle is in all namespaces, and a manifest without one may be meant for any.
      const place = object.metadata?.namespace ?? '*';
      for (const name of secretsMadeBy(object)) this.#add('Secret', place, name);
      for (const name of configMapsMadeBy(object)) this.#add('ConfigMap', place, name);
    }
    for (const name of configMapsMadeBy(undefined)) this.#add('ConfigMap', '*', name);
    this.#known = { ConfigMap: isRead(catalog, 'ConfigMap'), Secret: isRead(catalog, 'Secret') };
  }

  /** Whether nobody makes it. A kind that was not read from the cluster is not judged. */
  lacks({ kind, name }: Reference, namespace: string): boolean {
    const keys = [`${kind}\n${namespace}\n${name}`, `${kind}\n*\n${name}`];
    return this.#known[kind] && !keys.some((one) => this.#names.has(one));
  }

  #add(kind: Referred, place: string, name: string): void {
    this.#names.add(`${kind}\n${place}\n${name}`);
  }
}

/** A cluster has objects of both kinds in every namespace: none at all means that they were not read. */
function isRead(catalog: Catalog, kind: Referred): boolean {
  if (!catalog.sees(`${kind.toLowerCase()}s`)) return false;
  const live = catalog.all('Pod').some(({ metadata }) => metadata?.uid !== undefined);
  return !live || catalog.all(kind).length > 0;
}
