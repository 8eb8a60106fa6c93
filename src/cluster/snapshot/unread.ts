import { QuiesceError } from '../../errors.ts';
import type { Inventory } from '../inventory/catalog.ts';
import { forbidden } from './rights.ts';

/** A member, a pod or a claim that was not seen would be missing from the run without a word. */
const NEEDED = new Set([
  'pods',
  'persistentvolumeclaims',
  'statefulsets.apps',
  'deployments.apps',
  'daemonsets.apps',
  'replicasets.apps',
]);

/**
 * @param namespaces of the application; `undefined`: all
 * @throws QuiesceError FORBIDDEN, CLUSTER_UNREACHABLE if a kind that a run rests on could not be read
 */
export function refuseUnread(
  { unexamined }: Pick<Inventory, 'unexamined'>,
  namespaces: readonly string[] | undefined,
): void {
  const missed = unexamined.filter(
    ({ resource, namespace }) =>
      NEEDED.has(resource) &&
      (namespace === undefined || namespaces === undefined || namespaces.includes(namespace)),
  );
  const [first] = missed;
  if (first === undefined) return;
  if (!missed.every(({ reason }) => /forbidden|cannot \w+ resource/i.test(reason))) {
    const text = `${first.resource} could not be read: ${first.reason}.`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', text);
  }
  const rights = missed.flatMap(({ resource: full, namespace }) => {
    const [resource = '', group = ''] = full.split('.');
    const right = { group, resource, ...(namespace !== undefined && { namespace }) };
    return ['get', 'list'].map((verb) => ({ verb, ...right }));
  });
  throw forbidden(rights);
}
