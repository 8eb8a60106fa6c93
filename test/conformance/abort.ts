import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Engine, FreezeContext, Hold } from '../../src/engines/engine.ts';

const SOON_MS = 60_000;

/**
 * Freezes and aborts after a delay. Fails if the engine returns a hold after the abort. A hold returned
 * before it belongs to the caller, and is released here.
 */
export async function giveUpAfter(
  engine: Engine,
  context: FreezeContext,
  ms: number,
): Promise<void> {
  const abort = new AbortController();
  await giveUp(engine, context, abort, `given up after ${ms} ms`, (attempt) =>
    Promise.race([sleep(ms), attempt.catch(() => undefined)]),
  );
}

/**
 * Freezes repeatedly, and aborts in the middle of another call that the engine makes (`remember`, `keep`)
 * each time, until there are no more such calls.
 *
 * @param between called after each attempt.
 * @returns the number of such calls.
 */
export async function giveUpInEachStep(
  engine: Engine,
  context: FreezeContext,
  between: () => Promise<unknown>,
): Promise<number> {
  for (let step = 1; ; step += 1) {
    const abort = new AbortController();
    let steps = 0;
    const during = async (work: Promise<void>): Promise<void> => {
      steps += 1;
      if (steps === step) abort.abort(new Error('given up'));
      await work;
      // A disk takes time as well.
      await sleep(1);
    };
    const watched: FreezeContext = {
      ...context,
      keep: (files) => during(context.keep(files)),
      remember: (journal) => during(context.remember(journal)),
    };
    await giveUp(engine, watched, abort, `given up in step ${step}`, (attempt) =>
      attempt.catch(() => undefined),
    );
    await between();
    if (steps < step) return steps;
  }
}

async function giveUp(
  engine: Engine,
  context: FreezeContext,
  abort: AbortController,
  when: string,
  wait: (attempt: Promise<Hold>) => Promise<unknown>,
): Promise<void> {
  let early: Hold | undefined;
  const attempt = (async () => {
    await engine.prepare(context, abort.signal);
    const hold = await engine.hold(context, abort.signal);
    if (!abort.signal.aborted) early = hold;
    return hold;
  })();
  await wait(attempt);
  abort.abort(new Error('given up'));
  const late = await attempt.catch(() => undefined);
  // Release a late hold as well, so that the next attempt begins on a free server.
  await (early ?? late)?.release(AbortSignal.timeout(SOON_MS));
  expect(late === early ? 'no late hold' : 'a late hold', when).toBe('no late hold');
}
