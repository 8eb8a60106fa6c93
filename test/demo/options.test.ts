import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../src/demo/options.ts';
import { QuiesceError } from '../../src/errors.ts';

function refusal(...args: string[]): QuiesceError {
  try {
    parseOptions(args);
  } catch (error) {
    if (error instanceof QuiesceError) return error;
    throw error;
  }
  throw new Error('the options were accepted');
}

describe('the command line of the demo', () => {
  it('has a default for everything', () => {
    expect(parseOptions([])).toEqual({
      engine: 'postgres',
      postgres: 17,
      keep: false,
      stop: false,
      output: 'text',
      seconds: 4,
    });
  });

  it('accepts every flag', () => {
    const args = [
      '--engine',
      'postgres',
      '--postgres=13',
      '--keep',
      '-o',
      'json',
      '--seconds',
      '2.5',
    ];
    expect(parseOptions(args)).toEqual({
      engine: 'postgres',
      postgres: 13,
      keep: true,
      stop: false,
      output: 'json',
      seconds: 2.5,
    });
  });

  it.each([
    [['--postgres', '12'], '--postgres'],
    [['--postgres', '17.0'], '--postgres'],
    [['--postgres', ''], '--postgres'],
    [['--postgres'], '--postgres'],
    [['--seconds', '0'], '--seconds'],
    [['--seconds', '1e2'], '--seconds'],
    [['--seconds=-1'], '--seconds'],
    [['--seconds', '-1'], '--seconds'],
    [['--seconds', '301'], '--seconds'],
    [['--engine', 'mysql'], '--engine'],
    [['--engine', 'redis', '--postgres', '17'], '--postgres'],
    [['--server', 'redis-server'], '--server'],
    [['--engine', 'redis', '--server='], '--server'],
    [['-o', 'yaml'], '-o'],
    [['--frobnicate'], '--frobnicate'],
    [['--keep=yes'], '--keep'],
    [['--keep', '--stop'], '--stop'],
    [['leftover'], 'leftover'],
  ])('%j is refused with exit code 2, naming the flag at fault', (args, named) => {
    const error = refusal(...args);
    expect([error.code, error.exit]).toEqual(['USAGE', 2]);
    expect(error.message).toContain(named);
    expect(error.message).not.toMatch(/\.\.$/);
  });
});
