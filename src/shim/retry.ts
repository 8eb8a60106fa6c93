import type { Answer, Call } from './client.ts';
import { Unanswered } from './client.ts';

const AGAIN_AFTER_MS = 250;
/** What breaks every connection is no sidecar that starts again. */
const BROKEN_AT_MOST = 3;

/**
 * Sends a call, and sends it again with the same idempotency key where the connection broke under it:
 * the sidecar may have been started again meanwhile, and answers a retry of the very same call alike.
 * Where nothing was there in the first place, nothing is waited for.
 *
 * @param send one try; the call bears what is left of its deadline.
 * @throws Unanswered where none was answered within the deadline
 */
export async function sendUntilAnswered(
  send: (wanted: Call) => Promise<Answer>,
  wanted: Call,
): Promise<Answer> {
  const deadline = performance.now() + wanted.deadlineMs;
  for (let broken = 0; ;) {
    try {
      const left = Math.max(1, Math.round(deadline - performance.now()));
      return await send({ ...wanted, deadlineMs: broken === 0 ? wanted.deadlineMs : left });
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      if (error.failure === 'broken') broken += 1;
      const again = error.failure === 'broken' || error.failure === 'not-connected';
      const left = deadline - performance.now();
      if (!again || broken === 0 || broken > BROKEN_AT_MOST || left <= AGAIN_AFTER_MS) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

/** A key that no other call has: it need not be a secret. */
export function newKey(): string {
  const random = (): string => Math.random().toString(36).slice(2);
  return [Date.now().toString(36), process.pid.toString(36), random(), random()].join('-');
}
