import type { Tools } from '../kubectl.ts';
import type { Ran } from '../run.ts';
import { until } from '../wait.ts';

/** A receipt as `quiesce receipts -o json` prints it, as far as stories read it. */
export interface ReceiptSeen {
  readonly id: string | null;
  readonly verdict: string | null;
  readonly mode?: string;
  readonly reasons?: readonly string[];
  readonly requestedAt: string;
  readonly frozenAt?: string;
  readonly thawedAt?: string | null;
  readonly restoreMark?: string | null;
  readonly durationsMs?: Readonly<Record<string, number>>;
}

/** What the sidecar reports of the restored data. */
export interface RestoreSeen {
  readonly id: string | null;
  /** The names of the restores that made the pod. */
  readonly mark: string | null;
  readonly level: 'refused' | 'unproven' | 'position' | 'content';
  readonly reason?: string;
  readonly verified: boolean | null;
  /** `null`: not judged yet. */
  readonly checkedAt: string | null;
  readonly message: string;
}

export interface StatusSeen {
  readonly state: string;
  readonly engine: { readonly reachable: boolean; readonly message: string | null };
  readonly restore: RestoreSeen | null;
}

/** The sidecar of one pod, as an operator uses it: `kubectl exec … -c quiesce -- quiesce …`. */
export class Sidecar {
  readonly #tools: Tools;
  readonly #namespace: string;
  readonly #pod: string;

  constructor(tools: Tools, namespace: string, pod: string) {
    this.#tools = tools;
    this.#namespace = namespace;
    this.#pod = pod;
  }

  async quiesce(...args: readonly string[]): Promise<Ran> {
    const where = ['-n', this.#namespace, 'exec', this.#pod, '-c', 'quiesce', '--'];
    return await this.#tools.tryKubectl([...where, 'quiesce', ...args], { timeoutMs: 120_000 });
  }

  async status(): Promise<StatusSeen> {
    return await this.#json<StatusSeen>('status');
  }

  /** Newest first. */
  async receipts(): Promise<readonly ReceiptSeen[]> {
    return (await this.#json<{ receipts: readonly ReceiptSeen[] }>('receipts')).receipts;
  }

  /** Waits until the sidecar holds the database. */
  async frozen(withinMs = 60_000): Promise<void> {
    const what = `${this.#namespace}/${this.#pod} is frozen`;
    await until(what, withinMs, async () => (await this.status()).state === 'frozen');
  }

  /** Waits until nothing is held. */
  async thawed(withinMs = 60_000): Promise<void> {
    const what = `${this.#namespace}/${this.#pod} is thawed`;
    await until(what, withinMs, async () => (await this.status()).state === 'thawed');
  }

  /** Waits until the sidecar has judged the restored data; returns what it reports. */
  async restored(withinMs = 120_000): Promise<RestoreSeen> {
    const what = `${this.#namespace}/${this.#pod} has judged its restore`;
    return await until(what, withinMs, async () => {
      const { restore } = await this.status();
      return restore !== null && restore.checkedAt !== null && restore;
    });
  }

  async #json<T>(verb: string): Promise<T> {
    const { status, stdout, stderr } = await this.quiesce(verb, '-o', 'json');
    if (status !== 0) throw new Error(`quiesce ${verb}: ${stderr.trim() || stdout.trim()}`);
    return JSON.parse(stdout) as T;
  }
}
