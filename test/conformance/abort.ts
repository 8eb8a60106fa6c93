import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Engine, FreezeContext, Hold } from '../../src/engines/engine.ts';

const SOON_MS = 60_000;

/**
 * Freezes and gives up after a while: fails where the engine comes with a hold after that. Only one that
 * was there before is the caller's to release, and is released here.
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
 * Freezes and gives up in the middle of each step that the engine has done for it (`remember`, `keep`), by
 * turns, until there is no such step any more.
 *
 * @param between called after each try.
 * @returns how many steps there are.
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
      // As a disk takes its time.
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
  // One that is late as well, once it is seen: what comes next begins on a free server.
  await (early ?? late)?.release(AbortSignal.timeout(SOON_MS));
  expect(late === early ? 'no late hold' : 'a late hold', when).toBe('no late hold');
}
