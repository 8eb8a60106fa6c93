import type { Catalog } from '../../inventory/catalog.ts';
import { at, textAt } from '../../objects/kube-object.ts';
import type { Container } from '../../objects/pod.ts';

/** The value of a variable, also from a ConfigMap in the inventory; `undefined`: only the cluster knows it. */
export function valueOf(
  container: Container,
  name: string,
  namespace: string,
  catalog: Catalog,
): string | undefined {
  const entry = container.env?.findLast((one) => one.name === name);
  if (entry?.value !== undefined) return entry.value;
  const reference = at(entry, 'valueFrom', 'configMapKeyRef');
  if (reference !== undefined) {
    return inConfigMap(
      textAt(reference, 'name'),
      textAt(reference, 'key') ?? '',
      namespace,
      catalog,
    );
  }
  if (entry !== undefined) return undefined;
  return (container.envFrom ?? [])
    .map(({ configMapRef, prefix = '' }) =>
      name.startsWith(prefix)
        ? inConfigMap(configMapRef?.name, name.slice(prefix.length), namespace, catalog)
        : undefined,
    )
    .findLast((one) => one !== undefined);
}

function inConfigMap(
  name: string | undefined,
  key: string,
  namespace: string,
  catalog: Catalog,
): string | undefined {
  const object = name === undefined ? undefined : catalog.get('ConfigMap', namespace, name);
  const value = at(object, 'data', key);
  return typeof value === 'object' || value === undefined
    ? undefined
    : JSON.stringify(value).replace(/^"|"$/g, '');
}
