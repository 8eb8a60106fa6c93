import type { InjectConfig } from '../inject/options.ts';
import { Catalog, type Inventory } from './catalog.ts';
import { type Facts, factsOf } from './pod-facts.ts';
import { type Velero, veleroOf } from './velero.ts';
import { type Hook, hooksOf, injectConfig } from './webhook.ts';
import { type Subject, subjectsOf } from './workloads.ts';

/** What stands around the pods. */
export interface Surroundings {
  readonly catalog: Catalog;
  readonly velero: Velero;
  readonly hooks: readonly Hook[];
  readonly config: InjectConfig;
  readonly facts: readonly Facts[];
}

/** The objects with what is known of each, before anything is judged. */
export function survey(inventory: Inventory): {
  readonly around: Surroundings;
  /** `undefined`: it cannot be read. */
  readonly bySubject: ReadonlyMap<Subject, readonly Facts[] | undefined>;
} {
  const catalog = new Catalog(inventory);
  const hooks = hooksOf(catalog);
  const config = injectConfig(hooks);
  const bySubject = new Map(
    subjectsOf(catalog).map((subject) => [subject, factsOfAll(subject, config)]),
  );
  const facts = [...bySubject.values()].flatMap((one) => one ?? []);
  return { around: { catalog, velero: veleroOf(catalog), hooks, config, facts }, bySubject };
}

function factsOfAll(subject: Subject, config: InjectConfig): readonly Facts[] | undefined {
  try {
    return subject.views.map((view) => factsOf(subject, view, config));
  } catch {
    return undefined;
  }
}
