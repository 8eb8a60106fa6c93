import { describe, expect, it } from 'vitest';
import { QuiesceError } from '../../src/errors.ts';
import { describeFlags } from '../../src/lib/command-line/flag-help.ts';
import {
  duration,
  durationText,
  list,
  oneOf,
  text,
  toggle,
} from '../../src/lib/command-line/flags.ts';
import { asksForHelp, formatAsked, readFlags } from '../../src/lib/command-line/read-flags.ts';

const FLAGS = {
  name: text('NAME', 'who', { required: true, short: 'n' }),
  file: list('FILE', 'what', { short: 'f' }),
  mode: oneOf(['fast', 'slow'], 'how', { fallback: 'fast' }),
  wait: duration('how long', { fallback: '30s' }, 1_000),
  deep: toggle('look closer', { short: 'd', alias: 'amcheck' }),
  'deep-timeout': durationText('end it', { alias: 'amcheck-timeout', otherwise: '5m' }),
} as const;

const read = (...args: string[]) => readFlags('try', FLAGS, args, { operands: 1 });

function refusal(...args: string[]): QuiesceError {
  try {
    read(...args);
  } catch (error) {
    if (error instanceof QuiesceError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('flags', () => {
  it('are read in all their spellings', () => {
    const plain = { name: 'x', file: [], mode: 'fast', wait: 30_000, deep: false };
    for (const args of [['--name', 'x'], ['--name=x'], ['-n', 'x'], ['-nx'], ['-n=x']]) {
      expect(read(...args).values).toEqual({ ...plain, 'deep-timeout': undefined });
    }
    expect(read('-n', 'x', '-f', 'a', '--file=b', '-d', '--', '--mode')).toEqual({
      values: { ...plain, file: ['a', 'b'], deep: true, 'deep-timeout': undefined },
      operands: ['--mode'],
    });
  });

  it('are accepted by their older names', () => {
    const { values } = read('-n', 'x', '--amcheck', '--amcheck-timeout', '7s');
    expect(values).toMatchObject({ deep: true, 'deep-timeout': '7s' });
  });

  it.each([
    [['--name'], '--name needs a value.', '--name'],
    [['--name', '--deep'], '--name needs a value.', '--name'],
    [['--name='], '--name must not be empty.', '--name'],
    [[], '--name is required.', '--name'],
    [['-nx', '--deep=yes'], '--deep takes no value.', '--deep'],
    [['-nx', '--deep', '--amcheck'], '--deep is given more than once.', '--deep'],
    [['-nx', '-n', 'y'], '-n is given more than once.', '-n'],
    [['-nx', 'a', 'b'], 'unexpected argument "b".', undefined],
    [['-nx', '--mode', 'odd'], '--mode must be fast or slow, not "odd".', '--mode'],
    [['-nx', '--wait', '1'], undefined, '--wait'],
    [['-nx', '--wait', '1ms'], undefined, '--wait'],
    [['-nx', '--deep-timeout', '25h'], undefined, '--deep-timeout'],
    [['-x'], 'Unknown flag -x for quiesce try.', '-x'],
    [['--password=hunter2'], 'Unknown flag --password for quiesce try.', '--password'],
    [['--__proto__'], 'Unknown flag --__proto__ for quiesce try.', '--__proto__'],
  ])('%j is refused, and named', (args, message, field) => {
    const error = refusal(...args);
    expect([error.code, error.field]).toEqual(['USAGE', field]);
    if (message !== undefined) expect(error.message).toBe(message);
    expect(`${error.message} ${error.hint}`).not.toContain('hunter2');
  });

  it('are all reported at once if several are wrong', () => {
    const { message } = refusal('--mode', 'odd', '--wait', 'x');
    expect(message).toMatch(/--name is required; --mode must be .+; --wait must be /);
  });

  it('suggest the one with the closest name', () => {
    expect(refusal('--nmae', 'x').hint).toBe('Did you mean --name? quiesce try --help');
    expect(refusal('--quite-another', 'x').hint).toBe('quiesce try --help');
  });

  it('may come from the environment; the command line overrides it, and errors name the variable', () => {
    const variables = (env: Record<string, string>) => ({ variables: { prefix: 'T_', env } });
    const from = (env: Record<string, string>, ...args: string[]) =>
      readFlags('try', FLAGS, args, variables(env)).values;
    expect(from({ T_NAME: 'env', T_MODE: '' })).toMatchObject({ name: 'env', mode: 'fast' });
    expect(from({ T_NAME: 'env' }, '--name', 'flag').name).toBe('flag');
    expect(() => from({ T_NAME: 'x', T_MODE: 'odd' })).toThrow('T_MODE must be fast or slow');
  });

  it('that are switches work with variables, too', () => {
    const from = (env: Record<string, string>, ...args: string[]) =>
      readFlags('try', FLAGS, ['-nx', ...args], { variables: { prefix: 'T_', env } }).values.deep;
    expect(from({}, '--deep')).toBe(true);
    expect(from({})).toBe(false);
    expect(from({ T_DEEP: 'true' })).toBe(true);
    expect(from({ T_DEEP: 'false' })).toBe(false);
    expect(from({ T_DEEP: 'false' }, '--deep')).toBe(true);
    expect(() => from({ T_DEEP: 'yes' })).toThrow('T_DEEP must be true or false, not "yes"');
  });

  it('are listed in help with their values, defaults and older names', () => {
    const help = describeFlags(FLAGS);
    expect(help).toContain('-n, --name NAME');
    expect(help).toContain('who (required)');
    expect(help).toContain('how (fast)');
    expect(help).toContain('--amcheck-timeout is its older name (5m)');
    expect(Math.max(...help.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(100);
  });
});

describe('in a command line that is otherwise wrong', () => {
  it.each([
    [['-o', 'json'], 'json'],
    [['-ojson'], 'json'],
    [['-o=yaml'], 'yaml'],
    [['--output=json', '--nope'], 'json'],
    [['--output', 'json'], 'json'],
    [['--', '-o', 'json'], undefined],
    [['--only'], undefined],
  ])('%j is the format %s', (args, format) => {
    expect(formatAsked(args)).toBe(format);
  });

  it('help is recognized only before --', () => {
    expect(asksForHelp(['a', '-h'])).toBe(true);
    expect(asksForHelp(['--', '--help'])).toBe(false);
  });
});
