import type { Cluster } from '../api/client.ts';
import { type NamespaceRules, namespaceRules } from '../inject/namespace-rules.ts';
import type { Logger } from '../../logger.ts';

/** A quota that somebody has just changed counts for the pods after this time. */
const KEEP_MS = 30_000;
/** An API server waits for the whole answer; injection without the rules is better than none. */
const WAIT_MS = 1_000;
const MAX_NAMESPACES = 5_000;

/** What namespaces demand of their pods: ResourceQuotas and LimitRanges, read once in a while. */
export class NamespaceReader {
  readonly #cluster: Pick<Cluster, 'readDemands'>;
  readonly #logger: Logger;
  readonly #known = new Map<string, { at: number; rules: Promise<NamespaceRules | undefined> }>();
  #refused = false;

  constructor(cluster: Pick<Cluster, 'readDemands'>, logger: Logger) {
    this.#cluster = cluster;
    this.#logger = logger;
  }

  /** `undefined`: they could not be read, or not in time. Never rejects. */
  async rulesOf(namespace: string): Promise<NamespaceRules | undefined> {
    const now = performance.now();
    const found = this.#known.get(namespace);
    if (found !== undefined && now - found.at < KEEP_MS) return await found.rules;
    if (this.#known.size >= MAX_NAMESPACES) this.#known.clear();
    const rules = this.#read(namespace);
    this.#known.set(namespace, { at: now, rules });
    return await rules;
  }

  async #read(namespace: string): Promise<NamespaceRules | undefined> {
    try {
      return namespaceRules(await this.#cluster.readDemands(namespace, WAIT_MS));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!this.#refused)
        this.#logger.warn({ reason }, 'cannot read ResourceQuotas and LimitRanges');
      this.#refused = true;
      return undefined;
    }
  }
}

/** The namespace of an AdmissionReview of any shape. */
export function namespaceIn(body: unknown): string | undefined {
  const { request } = (body ?? {}) as { request?: { namespace?: unknown } | null };
  const namespace = request?.namespace;
  return typeof namespace === 'string' && namespace !== '' ? namespace : undefined;
}
