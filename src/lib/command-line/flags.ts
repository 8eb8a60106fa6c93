import { durationProblem, parseDuration } from '../duration.ts';
import { quote } from './printable.ts';

/** A flag of a verb: its placeholder, its help text, and how its value is read. */
export interface Flag<T> {
  /** The placeholder of the value; absent for a switch. */
  readonly takes?: string;
  readonly about: string;
  /** One letter. */
  readonly short?: string;
  /** An older name that is still accepted. */
  readonly alias?: string;
  readonly many?: true;
  readonly required?: true;
  /** The default, when neither the command line nor the environment sets the flag. */
  readonly fallback?: string;
  /** What help prints as the default when `fallback` cannot express it: `the cluster's`. */
  readonly otherwise?: string;
  /** @throws BadValue */
  read(texts: readonly string[]): T;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type Values<F extends Flags> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
};

/** A value that the flag refuses. The message follows the flag's name: `must not be empty`. */
export class BadValue extends Error {}

type Style = Partial<
  Pick<Flag<unknown>, 'short' | 'alias' | 'fallback' | 'otherwise' | 'required'>
>;
type Read<T, S extends Style> = S extends { fallback: string } | { required: true }
  ? T
  : T | undefined;

export function toggle(about: string, style: Pick<Style, 'short' | 'alias'> = {}): Flag<boolean> {
  return { about, ...style, read: ([given]) => given !== undefined && isOn(given) };
}

/** The text of a switch: empty on a command line, `true` or `false` in a variable. */
function isOn(given: string): boolean {
  if (given === '' || given === 'true' || given === 'false') return given !== 'false';
  throw new BadValue(`must be true or false, not ${quote(given)}`);
}

/** A flag with one value. `read` parses it, or throws a {@link BadValue}. */
export function value<T, const S extends Style>(
  takes: string,
  about: string,
  style: S,
  read: (text: string) => T,
): Flag<Read<T, S>> {
  return {
    takes,
    about,
    ...style,
    read: ([text]) => {
      if (text !== undefined) return read(text);
      if (style.required === true) throw new BadValue('is required');
      return undefined as Read<T, S>;
    },
  };
}

export function text<const S extends Style>(takes: string, about: string, style: S) {
  return value(takes, about, style, nonEmpty);
}

/** A flag that may be repeated. */
export function list(takes: string, about: string, style: Style, read = nonEmpty) {
  const flag: Flag<readonly string[]> = {
    takes,
    about,
    ...style,
    many: true,
    read: (texts) => texts.map((one) => read(one)),
  };
  return flag;
}

export function oneOf<T extends string, const S extends Style>(
  allowed: readonly T[],
  about: string,
  style: S & { readonly takes?: string },
) {
  const { takes = allowed.join('|'), ...rest } = style;
  return value(takes, about, rest as unknown as S, (given): T => {
    const found = allowed.find((one) => one === given);
    if (found !== undefined) return found;
    const choice = allowed.length === 2 ? allowed.join(' or ') : `one of ${allowed.join(', ')}`;
    throw new BadValue(`must be ${choice}, not ${quote(given)}`);
  });
}

export function matching<const S extends Style>(
  takes: string,
  about: string,
  style: S,
  { pattern, form }: { readonly pattern: RegExp; readonly form: string },
) {
  return value(takes, about, style, (given) => {
    if (!pattern.test(given)) throw new BadValue(form);
    return given;
  });
}

/** A duration from 1 ms to 24 h. Its value is the text with the unit, as given. */
export function durationText<const S extends Style>(about: string, style: S) {
  return value('DURATION', about, style, (given) => {
    const problem = durationProblem(given);
    if (problem !== undefined) throw new BadValue(`${problem}, not ${quote(given)}`);
    return given;
  });
}

/** A duration of at least `shortestMs`. Its value is in milliseconds. */
export function duration<const S extends Style>(about: string, style: S, shortestMs: number) {
  return value('DURATION', about, style, (given) => {
    const ms = parseDuration(given);
    if (ms !== undefined && ms >= shortestMs) return ms;
    const form = 'must be a duration with a unit, such as 30s or 10m';
    throw new BadValue(`${form}, and at least ${shortestMs}ms, not ${quote(given)}`);
  });
}

function nonEmpty(given: string): string {
  if (given === '') throw new BadValue('must not be empty');
  return given;
}
