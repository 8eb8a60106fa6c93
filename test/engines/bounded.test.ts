import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { OneAtATime } from '../../src/lib/one-at-a-time.ts';
import { SharedAnswer } from '../../src/lib/shared-answer.ts';
import { unlessAborted } from '../../src/lib/deadline.ts';

const never = (): AbortSignal => new AbortController().signal;

/** A call that the test completes, and that counts how often it is made. */
class ScriptedQuestion {
  asked = 0;
  atOnce = 0;
  most = 0;
  readonly ended: unknown[] = [];
  #answer: (text: string) => void = () => undefined;

  readonly shared = new SharedAnswer<string>(async (signal) => {
    this.asked += 1;
    this.atOnce += 1;
    this.most = Math.max(this.most, this.atOnce);
    try {
      const answered = new Promise<string>((resolve) => (this.#answer = resolve));
      return await unlessAborted(answered, signal);
    } catch (error) {
      this.ended.push(signal.reason);
      // A connection takes a moment to close.
      await sleep(20);
      throw error;
    } finally {
      this.atOnce -= 1;
    }
  });

  answer(text: string): void {
    this.#answer(text);
  }
}

describe('a shared answer', () => {
  it('is computed once for all concurrent callers, and again for a later one', async () => {
    const question = new ScriptedQuestion();
    const all = Promise.all(Array.from({ length: 60 }, () => question.shared.ask(never())));
    await sleep(5);
    question.answer('one');
    expect(new Set(await all)).toEqual(new Set(['one']));
    expect(question.asked).toBe(1);
    const later = question.shared.ask(never());
    await sleep(5);
    question.answer('two');
    expect(await later).toBe('two');
  });

  it('still reaches the others when the first caller gives up', async () => {
    const question = new ScriptedQuestion();
    const first = new AbortController();
    const gone = question.shared.ask(first.signal);
    const stays = question.shared.ask(never());
    first.abort(new Error('went away'));
    await expect(gone).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    question.answer('one');
    expect(await stays).toBe('one');
    expect(question.ended).toEqual([]);
  });

  it('is aborted when the last caller gives up, and not computed again before that has ended', async () => {
    const question = new ScriptedQuestion();
    const callers = [new AbortController(), new AbortController()];
    const asked = callers.map(({ signal }) => question.shared.ask(signal).catch(() => 'gone'));
    callers[0]?.abort(new Error('the first'));
    await sleep(5);
    expect(question.ended).toEqual([]);
    callers[1]?.abort(new Error('the last'));
    const next = question.shared.ask(never());
    expect(await Promise.all(asked)).toEqual(['gone', 'gone']);
    expect(question.ended).toEqual([new Error('the last')]);
    await expect.poll(() => question.asked).toBe(2);
    question.answer('two');
    expect(await next).toBe('two');
    expect(question.most).toBe(1);
  });

  it('is not begun for a caller that has given up, and rejects soon for one that gives up', async () => {
    const question = new ScriptedQuestion();
    await expect(question.shared.ask(AbortSignal.abort())).rejects.toMatchObject({
      code: 'ENGINE_UNREACHABLE',
    });
    expect(question.asked).toBe(0);
  });

  it('fails for all waiting callers, and is tried again for the next', async () => {
    let tries = 0;
    const shared = new SharedAnswer<number>(async () => {
      tries += 1;
      await sleep(5);
      if (tries === 1) throw new Error('refused');
      return tries;
    });
    const both = await Promise.allSettled([shared.ask(never()), shared.ask(never())]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await shared.ask(never())).toBe(2);
  });
});

describe('one at a time', () => {
  it('runs in order, past work that fails and past callers that gave up waiting', async () => {
    const line = new OneAtATime();
    const order: string[] = [];
    const work = (name: string) => async () => {
      order.push(`${name} begins`);
      await sleep(10);
      order.push(`${name} ends`);
      if (name === 'b') throw new Error('failed');
      return name;
    };
    const impatient = AbortSignal.timeout(5);
    const all = await Promise.allSettled([
      line.run(work('a'), never()),
      line.run(work('b'), never()),
      line.run(work('c'), impatient),
      line.run(work('d'), never()),
    ]);
    expect(all.map((one) => (one.status === 'fulfilled' ? one.value : one.reason))).toEqual([
      'a',
      new Error('failed'),
      expect.objectContaining({ code: 'ENGINE_BUSY' }),
      'd',
    ]);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'd begins', 'd ends']);
  });
});
