import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Hold } from '../../src/engines/engine.ts';
import { TwoStep } from '../../src/engines/shared/two-step.ts';

/** A fake connection that counts how often it is closed. */
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

describe('a prepared freeze', () => {
  it('belongs to the hold once that begins: nothing else closes it', async () => {
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

  it('is closed once if the hold fails', async () => {
    await prepare(never());
    const failing = freeze.hold(() => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    await freeze.forget();
    expect(session.closed).toBe(1);
  });

  it('is closed if the freeze ends before the hold', async () => {
    const signal = new AbortController();
    await prepare(signal.signal);
    signal.abort();
    expect(session.closed).toBe(1);
    await expect(freeze.hold(async () => HOLD)).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('is closed if the freeze ended during the preparation', async () => {
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

  it('is closed when the next freeze begins, which does not use it', async () => {
    const first = new AbortController();
    await prepare(first.signal);
    const old = session;
    session = new ScriptedSession();
    await prepare(never());
    expect([old.closed, session.closed]).toEqual([1, 0]);
    // The end of the first freeze does not end the second.
    first.abort();
    expect(session.closed).toBe(0);
    expect(await freeze.hold(async () => HOLD)).toBe(HOLD);
  });

  it('does not exist if preparing failed, and the session is closed', async () => {
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
