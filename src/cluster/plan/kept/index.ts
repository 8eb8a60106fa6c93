import type { Catalog } from '../../inventory/catalog.ts';
import type { NotKept, PlanProblem } from '../document.ts';
import type { PlannedMember } from '../planned.ts';

export interface Kept {
  readonly notKept: readonly NotKept[];
  readonly problems: readonly PlanProblem[];
}

export type KeptOf = (members: readonly PlannedMember[], catalog: Catalog) => Kept;

/** What a restore of these members does not bring back, and what the user should do about it. */
export const keptOf: KeptOf = () => ({ notKept: [], problems: [] });
