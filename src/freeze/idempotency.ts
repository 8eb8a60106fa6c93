import { QuiesceError } from '../errors.ts';

/** Identifies a call: the key that its caller chose, and a digest of its route and body. */
export interface CallId {
  readonly key: string;
  readonly digest: string;
}

interface Known {
  readonly digest: string;
  readonly answer: Promise<unknown>;
  settled: boolean;
}

/** How many answered calls are remembered. Calls in progress always are. */
const REMEMBERED = 100;

/**
 * The calls with an idempotency key that this process has seen. The journal also keeps the keys that
 * must outlive the process: those of freezes that started and of the thaws that ended them.
 */
export class Calls {
  readonly #known = new Map<string, Known>();

  /**
   * Runs the work of a call. For a retry of the same call, the work gets the earlier answer, which may
   * still be pending, and decides whether it is still valid.
   *
   * @throws QuiesceError IDEMPOTENCY_KEY_REUSED where the key came with another route or body before
   */
  async once<T>(call: CallId | undefined, work: (earlier?: Promise<T>) => Promise<T>): Promise<T> {
    if (call === undefined) return await work();
    const earlier = this.#known.get(call.key);
    if (earlier) checkSame(earlier, call);
    // Same route and body, so the same type.
    const answer = work(earlier?.answer as Promise<T> | undefined);
    const known = { digest: call.digest, answer, settled: false };
    this.#known.delete(call.key);
    this.#known.set(call.key, known);
    void answer
      .catch(() => undefined)
      .finally(() => {
        known.settled = true;
        this.#forget();
      });
    return await answer;
  }

  #forget(): void {
    const settled = [...this.#known].filter(([, known]) => known.settled);
    for (const [key] of settled.slice(0, -REMEMBERED)) this.#known.delete(key);
  }
}

/** @throws QuiesceError IDEMPOTENCY_KEY_REUSED */
export function checkSame(earlier: { readonly digest: string }, call: CallId | undefined): void {
  if (earlier.digest === call?.digest) return;
  throw new QuiesceError(
    'IDEMPOTENCY_KEY_REUSED',
    'This Idempotency-Key came with another route or body before.',
    { field: 'Idempotency-Key' },
  );
}
