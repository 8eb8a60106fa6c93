import {
  CONFIG_MAPS,
  type Kind,
  PODS,
  rightOf,
  STORAGE_CLASSES,
  CLASSES,
  VOLUMES,
} from '../api/objects.ts';
import type { Right } from '../api/rights.ts';
import { NAMESPACES } from '../restore/namespaces.ts';
import type { DrillMode } from '../restore/document.ts';
import { rightsToMake } from '../restore/volumes/make.ts';
import { LEASES } from '../run/lease-object.ts';
import { LIMIT_RANGES, POLICIES, QUOTAS, SECRETS } from './kinds.ts';

/**
 * What a drill needs: to make and remove scratch namespaces, whose names nobody knows before, and to keep its
 * record. What it reads of the application, the plan of it has read already.
 *
 * @param home the namespace of Lease and record
 * @param sources namespaces whose ConfigMaps and Secrets the copies name
 */
export function rightsToDrill(
  home: string,
  sources: readonly string[],
  mode: DrillMode,
): readonly Right[] {
  const all = (kind: Kind, verbs: readonly string[], place?: string): readonly Right[] =>
    verbs.map((verb) => rightOf(verb, kind, place));
  return [
    ...all(NAMESPACES, ['get', 'list', 'create', 'delete']),
    ...all(POLICIES, ['create', 'get']),
    ...all(QUOTAS, ['create', 'get']),
    ...all(LIMIT_RANGES, ['create', 'get']),
    ...all(PODS, ['create', 'get', 'list', 'delete']),
    ...all(CONFIG_MAPS, ['create']),
    ...all(SECRETS, ['create']),
    ...everywhere(),
    ...(mode === 'application' ? forApplication() : []),
    ...all(VOLUMES, ['list']),
    ...all(STORAGE_CLASSES, ['list']),
    ...all(CLASSES, ['list']),
    ...sources.flatMap((place) => [
      ...all(CONFIG_MAPS, ['get'], place),
      ...all(SECRETS, ['get'], place),
    ]),
    ...all(LEASES, ['get', 'create', 'patch'], home),
    ...all(CONFIG_MAPS, ['list', 'create', 'patch', 'delete'], home),
  ];
}

/** Of claims and snapshots in namespaces that do not exist yet. */
function everywhere(): readonly Right[] {
  return rightsToMake(['-']).map(({ verb, group, resource }) => ({ verb, group, resource }));
}

/** To hold pods back and let them go, and to make what the application is made of. */
function forApplication(): readonly Right[] {
  const patch = [NAMESPACES, PODS].map((kind) => rightOf('patch', kind));
  const made = ['statefulsets', 'deployments'].map((resource) => ({ group: 'apps', resource }));
  const core = ['services', 'serviceaccounts'].map((resource) => ({ group: '', resource }));
  return [...patch, ...[...made, ...core].map((one) => ({ verb: 'create', ...one }))];
}

/** To reach the sidecars; pods/exec would do as well, so its lack alone is no reason to refuse. */
export const REACH: Right = { verb: 'create', group: '', resource: 'pods/portforward' };
