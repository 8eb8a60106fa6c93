import { isDeepStrictEqual } from 'node:util';
import { ANY_SETTING } from '../../engines/names.ts';
import type {
  Container,
  EnvVar,
  PodSpec,
  Resources,
  SecurityContext,
  Volume,
  VolumeMount,
} from '../objects/pod.ts';
import { parseQuantity } from '../objects/quantity.ts';

/** Variables of the sidecar that only injection sets. Stale ones are removed. */
const OWN_SETTING = new RegExp(`^(?:QUIESCE_|${ANY_SETTING})`);

/**
 * Adds a container, or merges it into the one of the same name. Fields that `wanted` sets are set. All
 * others stay: they come from the API server's defaults, from users, or from other webhooks.
 */
export function overlayContainer(
  list: readonly Container[] | undefined,
  wanted: Container,
  volumes: readonly Volume[],
): readonly Container[] {
  const present = list ?? [];
  const found = present.find(({ name }) => name === wanted.name);
  if (found === undefined) return [...present, wanted];
  const merged = mergeContainer(found, wanted, volumes);
  return present.map((one) => (one === found ? merged : one));
}

function mergeContainer(
  found: Container,
  wanted: Container,
  volumes: readonly Volume[],
): Container {
  const known = new Set(volumes.map(({ name }) => name));
  const env = mergeEnv(found.env ?? [], wanted.env ?? []);
  const { env: _env, envFrom: _from, ...rest } = found;
  return {
    ...rest,
    ...wanted,
    ...(env.length > 0 ? { env } : {}),
    ...(wanted.ports ? { ports: mergePorts(found.ports ?? [], wanted.ports) } : {}),
    volumeMounts: mergeMounts(found.volumeMounts ?? [], wanted.volumeMounts ?? [], known),
    resources: mergeResources(found.resources, wanted.resources),
    ...(wanted.livenessProbe === undefined
      ? {}
      : { livenessProbe: mergeValues(found.livenessProbe, wanted.livenessProbe) }),
    securityContext: mergeValues(found.securityContext, wanted.securityContext) as SecurityContext,
  };
}

/** Adds the missing volumes. A volume of the same name that is not an `emptyDir` is replaced. */
export function overlayVolumes(spec: PodSpec, wanted: readonly Volume[]): readonly Volume[] {
  const present = spec.volumes ?? [];
  const byName = new Map(wanted.map((volume) => [volume.name, volume]));
  const names = new Set(present.map(({ name }) => name));
  return [
    ...present.map((volume) => {
      const ours = byName.get(volume.name);
      return ours === undefined || volume['emptyDir'] !== undefined ? volume : ours;
    }),
    ...wanted.filter(({ name }) => !names.has(name)),
  ];
}

function mergeEnv(found: readonly EnvVar[], wanted: readonly EnvVar[]): readonly EnvVar[] {
  const byName = new Map(wanted.map((entry) => [entry.name, entry]));
  const kept = found.filter(({ name }) => byName.has(name) || !OWN_SETTING.test(name));
  const merged = kept.map((entry) => {
    const ours = byName.get(entry.name);
    return ours === undefined ? entry : mergeEntry(entry, ours);
  });
  const names = new Set(kept.map(({ name }) => name));
  const result = [...merged, ...wanted.filter(({ name }) => !names.has(name))];
  // The kubelet resolves a reference only to a variable earlier in the list.
  const order = result.map(({ name }) => name).filter((name) => byName.has(name));
  if (isDeepStrictEqual(order, [...byName.keys()])) return result;
  const others = merged.filter(({ name }) => !byName.has(name));
  return [...wanted, ...others];
}

/** Keeps the apiVersion that the API server adds to a fieldRef. A change of the value's kind replaces the entry. */
function mergeEntry(found: EnvVar, wanted: EnvVar): EnvVar {
  const merged = mergeValues(found, wanted) as EnvVar;
  const kinds = (entry: EnvVar): string[] => [
    ...(entry.value === undefined || entry.value === '' ? [] : ['value']),
    ...Object.keys(entry.valueFrom ?? {}),
  ];
  return isDeepStrictEqual(kinds(merged), kinds(wanted)) ? merged : wanted;
}

/** Mounts at our paths are replaced. Others stay as long as their volume exists. */
function mergeMounts(
  found: readonly VolumeMount[],
  wanted: readonly VolumeMount[],
  volumes: ReadonlySet<string>,
): readonly VolumeMount[] {
  const byPath = new Map(wanted.map((mount) => [mount.mountPath, mount]));
  const kept = found.filter((mount) => byPath.has(mount.mountPath) || volumes.has(mount.name));
  const paths = new Set(kept.map(({ mountPath }) => mountPath));
  return [
    ...kept.map((mount) => byPath.get(mount.mountPath) ?? mount),
    ...wanted.filter(({ mountPath }) => !paths.has(mountPath)),
  ];
}

type Ports = NonNullable<Container['ports']>;

function mergePorts(found: Ports, wanted: Ports): Ports {
  const names = new Set(wanted.map(({ name }) => name));
  const kept = found.filter(({ name }) => names.has(name));
  return wanted.map(
    (port) =>
      mergeValues(
        kept.find(({ name }) => name === port.name),
        port,
      ) as Ports[number],
  );
}

function mergeResources(found: Resources | undefined, wanted: Resources | undefined): Resources {
  const merged: Record<string, Record<string, string>> = {};
  for (const kind of ['requests', 'limits'] as const) {
    const before = found?.[kind] ?? {};
    const after = Object.entries(wanted?.[kind] ?? {}).map(([name, quantity]) => {
      const same =
        before[name] !== undefined && parseQuantity(before[name]) === parseQuantity(quantity);
      return [name, same ? before[name] : quantity] as const;
    });
    merged[kind] = { ...before, ...Object.fromEntries(after) } as Record<string, string>;
  }
  return { ...found, ...merged };
}

/** Merges objects key by key. Any other value of `wanted` replaces the one found. */
function mergeValues(found: unknown, wanted: unknown): unknown {
  if (!isObject(found) || !isObject(wanted)) return wanted;
  const merged: Record<string, unknown> = { ...found };
  for (const [key, value] of Object.entries(wanted)) merged[key] = mergeValues(found[key], value);
  return merged;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
