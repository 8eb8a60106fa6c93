import { QuiesceError } from '../errors.ts';

/** What tells one call from another: the key its caller chose, and a digest of its route and body. */
export interface CallId {
  readonly key: string;
  readonly digest: string;
}

interface Known {
  readonly digest: string;
  readonly answer: Promise<unknown>;
  settled: boolean;
}

/** How many calls are remembered that have been answered; those under way always are. */
const REMEMBERED = 100;

/**
 * The calls this process has seen that carry an idempotency key. What must outlive the process, the keys
 * of the freezes that began and of the thaws that ended them, is in the journal as well.
 */
export class Calls {
  readonly #known = new Map<string, Known>();

  /**
   * Runs the work of a call. A retry of the very same call is handed the earlier answer, settled or not,
   * and decides itself what of it still holds.
   *
   * @throws QuiesceError IDEMPOTENCY_KEY_REUSED where the key came with another route or body before
   */
  async once<T>(call: CallId | undefined, work: (earlier?: Promise<T>) => Promise<T>): Promise<T> {
    if (call === undefined) return await work();
    const earlier = this.#known.get(call.key);
    if (earlier) checkSame(earlier, call);
    // Of the same route and body, so of the same kind.
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
