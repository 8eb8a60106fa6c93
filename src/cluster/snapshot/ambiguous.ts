import { QuiesceError } from '../../errors.ts';
import type { Inventory } from '../inventory/catalog.ts';
import { membersOf, type Plan } from '../plan/document.ts';
import { planOf } from '../plan/plan.ts';
import { nameOf, type Selection } from '../plan/selection.ts';
import { podKey as keyOf } from './scene.ts';

/**
 * A group with the name of its namespace shares its Lease, its runs and its metrics with the whole
 * namespace. That is right where it is the whole of it, and else hides what each of them has.
 *
 * @throws QuiesceError GROUP_NAME_TAKEN
 */
export function refuseAmbiguous(inventory: Inventory, selection: Selection, plan: Plan): void {
  if (selection.group === undefined) return;
  const whole: Selection = { ...selection, group: undefined };
  if (nameOf(whole, plan.namespaces) !== plan.group) return;
  const keyed = membersOf(plan).map(({ namespace, kind, name }) =>
    keyOf(namespace, `${kind}/${name}`),
  );
  const others = membersOf(planOf(inventory, whole).plan)
    .map(({ namespace, kind, name }) => keyOf(namespace, `${kind}/${name}`))
    .filter((key) => !keyed.includes(key));
  const [first] = others;
  if (first === undefined) return;
  const more = others.length > 1 ? ` and ${others.length - 1} more are` : ' is';
  const text = `The group ${plan.group} has the name of its namespace, but ${first}${more} not in it.`;
  throw new QuiesceError('GROUP_NAME_TAKEN', text);
}
