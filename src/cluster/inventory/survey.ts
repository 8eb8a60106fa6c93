import type { InjectConfig } from '../inject/options.ts';
import type { NamespaceRules } from '../inject/namespace-rules.ts';
import { Catalog, type Inventory } from './catalog.ts';
import { rulesOf } from './namespace.ts';
import { type PodFacts, factsOf } from './pod-facts.ts';
import { type Velero, veleroOf } from './velero.ts';
import { type InjectingWebhook, webhooksOf, injectConfig } from './webhook.ts';
import { type Workload, workloadsOf } from './workloads.ts';

/** Facts about the whole cluster. */
export interface ClusterFacts {
  readonly catalog: Catalog;
  readonly velero: Velero;
  readonly webhooks: readonly InjectingWebhook[];
  readonly config: InjectConfig;
  readonly facts: readonly PodFacts[];
}

/** Gathers the facts of all objects, before any rule is applied. */
export function survey(inventory: Inventory): {
  readonly around: ClusterFacts;
  /** Facts of each pod of a workload; `undefined`: the workload is malformed. */
  readonly byWorkload: ReadonlyMap<Workload, readonly PodFacts[] | undefined>;
} {
  const catalog = new Catalog(inventory);
  const webhooks = webhooksOf(catalog);
  const config = injectConfig(webhooks);
  const byWorkload = new Map(
    workloadsOf(catalog).map((workload) => [
      workload,
      factsOfAll(workload, config, rulesOf(catalog, workload.namespace)),
    ]),
  );
  const facts = [...byWorkload.values()].flatMap((one) => one ?? []);
  return { around: { catalog, velero: veleroOf(catalog), webhooks, config, facts }, byWorkload };
}

function factsOfAll(
  workload: Workload,
  config: InjectConfig,
  rules: NamespaceRules,
): readonly PodFacts[] | undefined {
  try {
    return workload.views.map((view) => factsOf(workload, view, config, rules));
  } catch {
    return undefined;
  }
}
