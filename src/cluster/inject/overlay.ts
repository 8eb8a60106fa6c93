import type { EngineName } from '../../engines/names.ts';
import { mergeValues } from '../objects/merge-values.ts';
import type {
  Container,
  PodSpec,
  Resources,
  SecurityContext,
  Volume,
  VolumeMount,
} from '../objects/pod.ts';
import { parseQuantity } from '../objects/quantity.ts';
import { type Earlier, mergeEnv, mergeEnvFrom } from './overlay-env.ts';
import { isEqual } from './written.ts';

/** What decides which fields of a container that is there already are ours to change. */
export interface OverlayContext {
  readonly volumes: readonly Volume[];
  readonly written: Earlier;
  readonly engine?: EngineName;
}

/**
 * Adds a container, or merges it into the one of the same name. Fields that `wanted` sets are set, except
 * variables, resources and a user that a person wrote there. All others stay: they come from the API
 * server's defaults, from users, or from other webhooks.
 */
export function overlayContainer(
  list: readonly Container[] | undefined,
  wanted: Container,
  context: OverlayContext,
): readonly Container[] {
  const present = list ?? [];
  const found = present.find(({ name }) => name === wanted.name);
  if (found === undefined) return [...present, wanted];
  const merged = mergeContainer(found, wanted, context);
  return present.map((one) => (one === found ? merged : one));
}

function mergeContainer(
  found: Container,
  wanted: Container,
  { volumes, written, engine }: OverlayContext,
): Container {
  const known = new Set(volumes.map(({ name }) => name));
  const env = mergeEnv(found.env ?? [], wanted.env ?? [], { written, engine });
  const envFrom = mergeEnvFrom(found.envFrom ?? [], wanted.envFrom ?? [], written);
  const { env: _env, envFrom: _from, ...rest } = found;
  return {
    ...(mergeValues(rest, wanted) as Container),
    ...(env.length > 0 ? { env } : {}),
    ...(envFrom.length > 0 ? { envFrom } : {}),
    ...(wanted.ports ? { ports: mergePorts(found.ports ?? [], wanted.ports) } : {}),
    volumeMounts: mergeMounts(found.volumeMounts ?? [], wanted.volumeMounts ?? [], known),
    resources: mergeResources(found.resources, wanted.resources, written),
    securityContext: mergeSecurity(found.securityContext, wanted.securityContext, written),
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

/** Quantities that a user wrote stay, and ours give way to them: no request may be above its limit. */
function mergeResources(
  found: Resources | undefined,
  wanted: Resources | undefined,
  written: Earlier,
): Resources {
  const isUsers = (kind: string, name: string, quantity: string): boolean => {
    if (written === undefined) return true;
    if (written === 'legacy') return wanted?.[kind as 'limits']?.[name] === undefined;
    return !isEqual(written.resources[`${kind}.${name}`], quantity);
  };
  const side = (kind: 'requests' | 'limits'): Side => {
    const before = Object.entries(found?.[kind] ?? {});
    const users = new Map(before.filter(([name, quantity]) => isUsers(kind, name, quantity)));
    const ours = Object.entries(wanted?.[kind] ?? {})
      .filter(([name]) => !users.has(name))
      .map(([name, quantity]) => {
        const same = isEqual(found?.[kind]?.[name], quantity);
        return [name, same ? (found?.[kind]?.[name] ?? quantity) : quantity] as const;
      });
    return { users, ours: new Map(ours) };
  };
  const [requests, limits] = [side('requests'), side('limits')];
  for (const [name, request] of requests.ours) {
    const limit = limits.users.get(name);
    if (limit !== undefined && isMore(request, limit)) requests.ours.set(name, limit);
  }
  for (const [name, limit] of limits.ours) {
    const request = requests.users.get(name);
    if (request !== undefined && isMore(request, limit)) limits.ours.set(name, request);
  }
  const together = ({ users, ours }: Side) => Object.fromEntries([...users, ...ours]);
  return { ...found, requests: together(requests), limits: together(limits) };
}

interface Side {
  readonly users: ReadonlyMap<string, string>;
  readonly ours: Map<string, string>;
}

function isMore(a: string, b: string): boolean {
  return (parseQuantity(a) ?? 0) > (parseQuantity(b) ?? Number.POSITIVE_INFINITY);
}

function mergeSecurity(
  found: SecurityContext | undefined,
  wanted: SecurityContext | undefined,
  written: Earlier,
): SecurityContext {
  const merged = mergeValues(found ?? {}, wanted ?? {}) as SecurityContext;
  const user = found?.runAsUser;
  if (user === undefined || written === 'legacy') return merged;
  if (user !== written?.user) {
    const group = found?.runAsGroup;
    const { runAsGroup: _, ...rest } = merged;
    return { ...rest, runAsUser: user, ...(group === undefined ? {} : { runAsGroup: group }) };
  }
  if (wanted?.runAsUser !== undefined) return merged;
  const { runAsUser: _user, runAsGroup: _group, ...rest } = merged;
  return rest;
}
