import { QuiesceError } from '../../errors.ts';
import { BadValue, type Flag, type Flags, type Values } from './flags.ts';
import { didYouMean } from './nearest.ts';
import { printable, quote } from './printable.ts';

interface Reading {
  /** How many operands are accepted: words that are not flags. None by default. */
  readonly operands?: number;
  /** Lets environment variables set the flags: their prefix and values. An empty value counts as unset. */
  readonly variables?: {
    readonly prefix: string;
    readonly env: Readonly<Record<string, string | undefined>>;
  };
}

export interface Parsed<F extends Flags> {
  readonly values: Values<F>;
  readonly operands: readonly string[];
}

/** @throws QuiesceError USAGE. It lists every problem with a value; its field is the first flag at fault. */
export function readFlags<const F extends Flags>(
  verb: string,
  flags: F,
  args: readonly string[],
  { operands: most = 0, variables }: Reading = {},
): Parsed<F> {
  const { given, operands } = split(verb, flags, args);
  const surplus = operands[most];
  if (surplus !== undefined) throw usage(verb, `unexpected argument ${quote(surplus)}`);
  const problems: { readonly shown: string; readonly message: string }[] = [];
  const read = ([name, flag]: [string, Flag<unknown>]): [string, unknown] => {
    let found = given.get(name) ?? { shown: `--${name}`, texts: [] };
    if (variables !== undefined) found = orVariable(found, name, flag, variables);
    const { shown, texts } = found;
    try {
      if (texts.length > 1 && flag.many !== true) throw new BadValue('is given more than once');
      const counted = texts.length > 0 || flag.fallback === undefined ? texts : [flag.fallback];
      return [name, flag.read(counted)];
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      problems.push({ shown, message: `${shown} ${error.message}` });
      return [name, undefined];
    }
  };
  const values = Object.fromEntries(Object.entries(flags).map(read)) as Values<F>;
  if (problems.length === 0) return { values, operands };
  throw usage(verb, problems.map(({ message }) => message).join('; '), problems[0]?.shown);
}

interface Given {
  /** The flag as the caller wrote it. */
  readonly shown: string;
  readonly texts: string[];
}

function orVariable(
  found: Given,
  name: string,
  { takes }: Flag<unknown>,
  { prefix, env }: NonNullable<Reading['variables']>,
): Given {
  // A switch has no text of its own on the command line.
  const texts = takes === undefined ? found.texts : found.texts.filter((one) => one !== '');
  if (texts.length > 0) return { ...found, texts };
  const variable = `${prefix}${name.toUpperCase().replaceAll('-', '_')}`;
  const value = env[variable] ?? '';
  return value === '' ? { ...found, texts } : { shown: variable, texts: [value] };
}

/** An error in a command line. `message` comes without its full stop. */
export function usage(verb: string, message: string, field?: string): QuiesceError {
  const hint = `quiesce ${verb} --help`;
  return new QuiesceError('USAGE', `${message}.`, field === undefined ? { hint } : { hint, field });
}

function split(verb: string, flags: Flags, args: readonly string[]) {
  const given = new Map<string, { shown: string; texts: string[] }>();
  const operands: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      operands.push(...rest.splice(0));
    } else if (arg === '-' || !arg.startsWith('-')) {
      operands.push(arg);
    } else {
      const { name, shown, inline } = nameOf(verb, flags, arg);
      const takesValue = flags[name]?.takes !== undefined;
      if (!takesValue && inline !== undefined) throw usage(verb, `${shown} takes no value`, shown);
      const text = takesValue ? (inline ?? takeValue(verb, shown, rest)) : '';
      const before = given.get(name);
      if (before === undefined) given.set(name, { shown, texts: [text] });
      else before.texts.push(text);
    }
  }
  return { given, operands };
}

function nameOf(verb: string, flags: Flags, arg: string) {
  const long = /^--([^=]*)(?:=(.*))?$/s.exec(arg);
  const [, letter = '', joined = ''] = /^-(.)=?(.*)$/su.exec(arg) ?? [];
  const entry = Object.entries(flags).find(([name, { alias, short }]) =>
    long ? name === long[1] || alias === long[1] : short === letter,
  );
  if (entry !== undefined) {
    const inline = long ? long[2] : joined === '' ? undefined : joined;
    return { name: entry[0], shown: long ? `--${long[1]}` : `-${letter}`, inline };
  }
  const shown = printable(long ? `--${long[1]}` : arg.replace(/=.*/s, ''));
  const known = Object.keys(flags).map((name) => `--${name}`);
  const hint = `${didYouMean(shown, known)}quiesce ${verb} --help`;
  throw new QuiesceError('USAGE', `Unknown flag ${shown} for quiesce ${verb}.`, {
    hint,
    field: shown,
  });
}

/** Takes the next word as the value. One that begins with a minus is a flag, unless it is a number. */
function takeValue(verb: string, shown: string, rest: string[]): string {
  const next = rest[0];
  if (next === undefined || /^-[^0-9]/.test(next)) {
    throw usage(verb, `${shown} needs a value`, shown);
  }
  rest.shift();
  return next;
}

/** The output format that the caller asked for, even if the rest of the command line is wrong. */
export function formatAsked(args: readonly string[]): string | undefined {
  const end = args.indexOf('--');
  const flags = end < 0 ? args : args.slice(0, end);
  for (const [at, arg] of flags.entries()) {
    if (arg === '-o' || arg === '--output') return flags[at + 1];
    const inline = /^(?:--output=|-o=?)(.+)$/s.exec(arg);
    if (inline) return inline[1];
  }
  return undefined;
}

export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h');
}
