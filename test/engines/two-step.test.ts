import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Hold } from '../../src/engines/engine.ts';
import { TwoStep } from '../../src/engines/shared/two-step.ts';

/** A connection that only counts how often it is closed. */
class ScriptedSession {
  closed = 0;
  close(): void {
    this.closed += 1;
  }
}

const never = (): AbortSignal => new AbortController().signal;
const HOLD = { mode: 'scripted' } as Hold;

let session: ScriptedSession;
let freeze: TwoStep<ScriptedSession>;
const prepare = (signal: AbortSignal): Promise<void> =>
  freeze.prepare(
    async () => session,
    async (opened) => opened,
    signal,
  );

beforeEach(() => {
  session = new ScriptedSession();
  freeze = new TwoStep((prepared) => prepared.close());
});

describe('what prepare leaves for hold', () => {
  it('is the hold’s from its beginning: nothing else closes it', async () => {
    const first = new AbortController();
    await prepare(first.signal);
    const hold = freeze.hold(async (prepared) => {
      first.abort();
      await freeze.forget();
      await sleep(5);
      expect(prepared.closed).toBe(0);
      return HOLD;
    });
    expect(await hold).toBe(HOLD);
    await freeze.forget();
    expect(session.closed).toBe(0);
  });

  it('is closed once where the hold fails', async () => {
    await prepare(never());
    const failing = freeze.hold(() => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    await freeze.forget();
    expect(session.closed).toBe(1);
  });

  it('is closed where the freeze ends in between', async () => {
    const signal = new AbortController();
    await prepare(signal.signal);
    signal.abort();
    expect(session.closed).toBe(1);
    await expect(freeze.hold(async () => HOLD)).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('is closed where the freeze ended while it was prepared', async () => {
    const signal = new AbortController();
    const preparing = freeze.prepare(
      async () => session,
      async (opened) => {
        signal.abort(new Error('ended'));
        return opened;
      },
      signal.signal,
    );
    await expect(preparing).rejects.toThrow('ended');
    expect(session.closed).toBe(1);
  });

  it('is closed where the next freeze begins, and is not that one’s', async () => {
    const first = new AbortController();
    await prepare(first.signal);
    const old = session;
    session = new ScriptedSession();
    await prepare(never());
    expect([old.closed, session.closed]).toEqual([1, 0]);
    // The end of the first freeze is not the second's.
    first.abort();
    expect(session.closed).toBe(0);
    expect(await freeze.hold(async () => HOLD)).toBe(HOLD);
  });

  it('is nothing where preparing failed, and the session is closed', async () => {
    const failing = freeze.prepare(
      async () => session,
      () => Promise.reject(new Error('refused')),
      never(),
    );
    await expect(failing).rejects.toThrow('refused');
    expect(session.closed).toBe(1);
    await expect(freeze.hold(async () => HOLD)).rejects.toThrow('without prepare');
  });
});
