import { QuiesceError } from '../../errors.ts';
import type { Catalog, Inventory, Unexamined } from '../inventory/catalog.ts';
import { type KubeObject, namespaceOf } from '../objects/kube-object.ts';
import { resourceName } from '../inventory/resources.ts';
import { membersOf, type Plan } from '../plan/document.ts';
import { PLAN_RESOURCES } from '../plan/resources.ts';
import { podKey as keyOf } from './scene.ts';
import { forbidden, type Right } from '../api/rights.ts';

const BUILT_IN = new Set(PLAN_RESOURCES.map(resourceName));
const FORBIDDEN = /\bforbidden\b|cannot \w+ resource/;
const SHOWN = 5;

/** The namespaces of an application; `undefined`: all. */
type Namespaces = readonly string[] | undefined;

/**
 * A kind that could not be read may have members, whose volumes would then be left out of a run that calls
 * itself proven.
 *
 * @throws QuiesceError FORBIDDEN, CLUSTER_UNREACHABLE
 */
export function refuseUnread({ unexamined }: Inventory, namespaces: Namespaces): void {
  const own = unexamined.filter(
    (one) => BUILT_IN.has(one.resource) && !one.optional && isIn(namespaces, one.namespace),
  );
  const other = own.find(({ reason }) => !FORBIDDEN.test(reason));
  if (other !== undefined) {
    const place = other.namespace === undefined ? '' : ` in ${other.namespace}`;
    const text = `${other.resource}${place} could not be read: ${other.reason}`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', `${text}.`);
  }
  const [first] = own;
  if (first !== undefined) throw forbidden(own.map(rightTo), first.reason);
}

/**
 * A custom resource that could not be read may own claims without any pod, as a hibernated database does.
 * It matters only where a claim belongs to no member.
 *
 * @throws QuiesceError FORBIDDEN
 */
export function refuseHidden(catalog: Catalog, plan: Plan, namespaces: Namespaces): void {
  const hidden = catalog.unexamined.filter(
    ({ resource, namespace }) => !BUILT_IN.has(resource) && isIn(namespaces, namespace),
  );
  if (hidden.length === 0) return;
  const known = new Set(
    membersOf(plan).flatMap(({ namespace, claims }) =>
      claims.map((claim) => keyOf(namespace, claim)),
    ),
  );
  const nobodys = catalog
    .all('PersistentVolumeClaim')
    .filter((one) => isIn(namespaces, namespaceOf(one)))
    .map((one: KubeObject) => keyOf(namespaceOf(one), one.metadata?.name ?? ''))
    .filter((key) => !known.has(key));
  if (nobodys.length === 0) return;
  const names = nobodys.slice(0, SHOWN).join(', ');
  throw forbidden(hidden.map(rightTo), `one of them may own claims of no other member: ${names}`);
}

function isIn(namespaces: Namespaces, namespace: string | undefined): boolean {
  return namespaces === undefined || namespace === undefined || namespaces.includes(namespace);
}

function rightTo({ resource, namespace }: Unexamined): Right {
  const [plural = '', ...group] = resource.split('.');
  return {
    verb: 'list',
    group: group.join('.'),
    resource: plural,
    ...(namespace !== undefined && { namespace }),
  };
}
