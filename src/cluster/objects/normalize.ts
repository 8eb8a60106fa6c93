import type { Container, Metadata, Pod, PodSpec } from './pod.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * A pod of the shape that the rules and the injection rely on, from whatever a manifest has there. An
 * API server refuses what is dropped here.
 */
export function sanePod(value: unknown): Pod {
  const { metadata, spec, ...rest } = fields(value);
  const shaped = fields(spec);
  const { securityContext } = shaped;
  return {
    ...rest,
    metadata: saneMetadata(metadata),
    spec: {
      ...shaped,
      securityContext: fields(securityContext),
      containers: named(shaped['containers']).map(saneContainer),
      ...(shaped['initContainers'] === undefined
        ? {}
        : { initContainers: named(shaped['initContainers']).map(saneContainer) }),
      ...(shaped['volumes'] === undefined
        ? {}
        : { volumes: named(shaped['volumes']).map(saneVolume) }),
    } as unknown as PodSpec,
  };
}

/** Labels and annotations are texts: YAML makes numbers and booleans of what is not quoted. */
export function saneMetadata(value: unknown): Metadata {
  const { labels, annotations, ownerReferences, ...rest } = fields(value);
  return {
    ...rest,
    ...(labels === undefined ? {} : { labels: texts(labels) }),
    ...(annotations === undefined ? {} : { annotations: texts(annotations) }),
    ...(ownerReferences === undefined ? {} : { ownerReferences: named(ownerReferences) }),
  } as unknown as Metadata;
}

function saneVolume(volume: Fields): Fields {
  if (volume['projected'] === undefined) return volume;
  const projected = fields(volume['projected']);
  return { ...volume, projected: { ...projected, ...lists(projected, ['sources'], isObject) } };
}

function saneContainer(container: Fields): Container {
  const { securityContext, resources } = container;
  return {
    ...container,
    image: typeof container['image'] === 'string' ? container['image'] : '',
    ...lists(container, ['command', 'args'], (one) => typeof one !== 'object'),
    ...lists(container, ['env'], (one) => fields(one)['name'] !== undefined),
    ...lists(container, ['envFrom', 'ports'], isObject),
    ...lists(
      container,
      ['volumeMounts'],
      (one) => isNamed(one) && isText(fields(one)['mountPath']),
    ),
    ...(securityContext === undefined ? {} : { securityContext: fields(securityContext) }),
    ...(resources === undefined ? {} : { resources: fields(resources) }),
  } as unknown as Container;
}

function lists(
  from: Fields,
  keys: readonly string[],
  fits: (one: unknown) => boolean,
): Record<string, readonly unknown[]> {
  const present = keys.filter((key) => from[key] !== undefined);
  return Object.fromEntries(
    present.map((key) => {
      const list = Array.isArray(from[key]) ? (from[key] as unknown[]).filter(fits) : [];
      return [key, list.map((one) => (isObject(one) ? saneEntry(one) : String(one)))];
    }),
  );
}

/** A variable's name and value are texts. */
function saneEntry(entry: Fields): Fields {
  const { name, value, ...rest } = fields(entry);
  return {
    ...rest,
    ...(name === undefined ? {} : { name: textOf(name) }),
    ...(value === undefined ? {} : { value: textOf(value) }),
  };
}

function named(value: unknown): readonly Fields[] {
  const list: readonly unknown[] = Array.isArray(value) ? (value as unknown[]) : [];
  return list.map(fields).filter(isNamed);
}

function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(fields(value)).map(([key, one]) => [key, textOf(one)]));
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** What is null in YAML is not there. */
function fields(value: unknown): Fields {
  if (!isObject(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null));
}

function isNamed(value: unknown): boolean {
  return isText(fields(value)['name']);
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
