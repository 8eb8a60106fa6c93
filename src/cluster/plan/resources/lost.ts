import { at, type KubeObject, textAt } from '../../objects/kube-object.ts';
import type { KnownResource, LostByResource } from './known-resource.ts';

export const EMPTY_DIR = 'an emptyDir ends with its pod';
const NO_VOLUME = 'it has no volume, so its data ends with its container';

/** Its data is on a claim only if one of these paths is set; else in the container, or in memory. */
export function needsClaimAt(
  volume: string,
  ...paths: readonly (readonly string[])[]
): NonNullable<KnownResource['lost']> {
  const why = volume.startsWith('(') ? NO_VOLUME : EMPTY_DIR;
  return (object) =>
    paths.some((path) => at(object, 'spec', ...path) !== undefined) ? [] : [{ volume, why }];
}

/** Volumes that the spec itself puts on an emptyDir or a folder of the node, wherever in it. */
export function lostInSpec(object: KubeObject): readonly LostByResource[] {
  return [...walk(object['spec'], 'spec', 0)];
}

const DEPTH = 12;

function* walk(value: unknown, name: string, depth: number): Iterable<LostByResource> {
  if (typeof value !== 'object' || value === null || depth > DEPTH) return;
  if (Array.isArray(value)) {
    for (const one of value as unknown[]) yield* walk(one, textAt(one, 'name') ?? name, depth + 1);
    return;
  }
  const kind = lostKind(value);
  if (kind !== undefined) yield { volume: textAt(value, 'name') ?? name, why: kind };
  for (const [key, one] of Object.entries(value)) {
    // Strimzi's and RabbitMQ's own words for a volume name nothing by themselves.
    const below = NAMELESS.has(key) && name !== 'spec' ? name : key;
    if (key !== 'emptyDir' && key !== 'hostPath') yield* walk(one, below, depth + 1);
  }
}

const NAMELESS = new Set([
  'storage',
  'volumes',
  'volumeSpec',
  'volumeSource',
  'volume',
  'persistence',
  'spec',
  'template',
]);

function lostKind(value: object): string | undefined {
  const emptyDir = at(value, 'emptyDir');
  if (typeof emptyDir === 'object' && emptyDir !== null) return EMPTY_DIR;
  if (at(value, 'type') === 'ephemeral') return EMPTY_DIR;
  const hostPath = at(value, 'hostPath');
  if (typeof hostPath === 'object' && hostPath !== null)
    return 'a hostPath is a folder of its node';
  return undefined;
}

/** RabbitMQ's operator uses an emptyDir where the size is zero. */
export function lostIfZero(...path: readonly string[]): NonNullable<KnownResource['lost']> {
  return (object) =>
    /^"?0+[A-Za-z]*"?$/.test(JSON.stringify(at(object, 'spec', ...path) ?? ''))
      ? [{ volume: 'persistence', why: EMPTY_DIR }]
      : [];
}

/** The resource's own rule, and whatever its spec says. */
export function lostByResource(
  object: KubeObject,
  known: KnownResource | undefined,
): readonly LostByResource[] {
  const all = [...(known?.lost?.(object) ?? []), ...lostInSpec(object)];
  return [...new Map(all.map((one) => [one.volume, one])).values()];
}
