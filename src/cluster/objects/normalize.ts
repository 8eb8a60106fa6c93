import type { Container, Metadata, Pod, PodSpec } from './pod.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Turns any value of a manifest into a pod of the shape that injection and the doctor's rules rely on.
 * It drops only what an API server would refuse.
 */
export function normalizePod(value: unknown): Pod {
  const { metadata, spec, ...rest } = fieldsOf(value);
  const specFields = fieldsOf(spec);
  const { securityContext } = specFields;
  return {
    ...rest,
    metadata: normalizeMetadata(metadata),
    spec: {
      ...specFields,
      securityContext: fieldsOf(securityContext),
      containers: namedElements(specFields['containers']).map(normalizeContainer),
      ...(specFields['initContainers'] === undefined
        ? {}
        : { initContainers: namedElements(specFields['initContainers']).map(normalizeContainer) }),
      ...(specFields['volumes'] === undefined
        ? {}
        : { volumes: namedElements(specFields['volumes']).map(normalizeVolume) }),
    } as unknown as PodSpec,
  };
}

/** Turns labels and annotations into strings: YAML reads unquoted values as numbers and booleans. */
export function normalizeMetadata(value: unknown): Metadata {
  const { labels, annotations, ownerReferences, ...rest } = fieldsOf(value);
  return {
    ...rest,
    ...(labels === undefined ? {} : { labels: asStrings(labels) }),
    ...(annotations === undefined ? {} : { annotations: asStrings(annotations) }),
    ...(ownerReferences === undefined ? {} : { ownerReferences: namedElements(ownerReferences) }),
  } as unknown as Metadata;
}

function normalizeVolume(volume: Fields): Fields {
  if (volume['projected'] === undefined) return volume;
  const projected = fieldsOf(volume['projected']);
  return {
    ...volume,
    projected: { ...projected, ...arrayFields(projected, ['sources'], isObject) },
  };
}

function normalizeContainer(container: Fields): Container {
  const { securityContext, resources } = container;
  return {
    ...container,
    image: typeof container['image'] === 'string' ? container['image'] : '',
    ...arrayFields(container, ['command', 'args'], (one) => typeof one !== 'object'),
    ...arrayFields(container, ['env'], (one) => fieldsOf(one)['name'] !== undefined),
    ...arrayFields(container, ['envFrom', 'ports'], isObject),
    ...arrayFields(
      container,
      ['volumeMounts'],
      (one) => isNamed(one) && isString(fieldsOf(one)['mountPath']),
    ),
    ...(securityContext === undefined ? {} : { securityContext: fieldsOf(securityContext) }),
    ...(resources === undefined ? {} : { resources: fieldsOf(resources) }),
  } as unknown as Container;
}

function arrayFields(
  from: Fields,
  keys: readonly string[],
  accepts: (one: unknown) => boolean,
): Record<string, readonly unknown[]> {
  const present = keys.filter((key) => from[key] !== undefined);
  return Object.fromEntries(
    present.map((key) => {
      const list = Array.isArray(from[key]) ? (from[key] as unknown[]).filter(accepts) : [];
      return [key, list.map((one) => (isObject(one) ? normalizeEntry(one) : String(one)))];
    }),
  );
}

/** Turns the name and value of a variable into strings. */
function normalizeEntry(entry: Fields): Fields {
  const { name, value, ...rest } = fieldsOf(entry);
  return {
    ...rest,
    ...(name === undefined ? {} : { name: asString(name) }),
    ...(value === undefined ? {} : { value: asString(value) }),
  };
}

function namedElements(value: unknown): readonly Fields[] {
  const list: readonly unknown[] = Array.isArray(value) ? (value as unknown[]) : [];
  return list.map(fieldsOf).filter(isNamed);
}

function asStrings(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fieldsOf(value)).map(([key, one]) => [key, asString(one)]),
  );
}

function asString(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** The fields of an object without nulls: YAML reads an empty value as null, which means absent. */
function fieldsOf(value: unknown): Fields {
  if (!isObject(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null));
}

function isNamed(value: unknown): boolean {
  return isString(fieldsOf(value)['name']);
}

function isString(value: unknown): boolean {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
