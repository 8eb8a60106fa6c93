import type { Answer, Call } from './client.ts';
import { Unanswered } from './client.ts';

const AGAIN_AFTER_MS = 250;
/** If every connection breaks, the cause is not a sidecar that is restarting. */
const BROKEN_AT_MOST = 3;

/**
 * Sends a call, and repeats it with the same idempotency key if its connection breaks: the sidecar may
 * have restarted, and gives a repeated call the answer of the first. Does not wait for a sidecar that
 * could not be reached at the first try.
 *
 * @param send makes one try; its call has the rest of the deadline
 * @throws Unanswered if no try was answered within the deadline
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

/** A key that no other call has. It need not be secret. */
export function newKey(): string {
  const random = (): string => Math.random().toString(36).slice(2);
  return [Date.now().toString(36), process.pid.toString(36), random(), random()].join('-');
}
