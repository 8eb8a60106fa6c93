import { parseDuration } from '../lib/duration.ts';
import { QuiesceError } from '../errors.ts';

export const SHIM_VERBS = ['freeze', 'thaw', 'status', 'metadata', 'receipts', 'verify'] as const;
export type ShimVerb = (typeof SHIM_VERBS)[number];

/** A command line that was understood. Durations are texts with a unit that were checked. */
export interface Arguments {
  readonly json: boolean;
  readonly id?: string;
  readonly ttl?: string;
  readonly timeout?: string;
  readonly renew: boolean;
  readonly wait: boolean;
  readonly abandon: boolean;
  /** Of this very call; one is made where it is absent. */
  readonly idempotencyKey?: string;
  readonly amcheck: boolean;
  readonly amcheckTimeout?: string;
  /** FILE of verify, ID of receipts. */
  readonly operand?: string;
}

const LONGEST_MS = 24 * 3_600_000;

const FLAGS: Readonly<Record<ShimVerb, readonly string[]>> = {
  freeze: ['--id', '--ttl', '--timeout', '--renew', '--wait', '--idempotency-key'],
  thaw: ['--id', '--abandon', '--idempotency-key'],
  status: [],
  metadata: [],
  receipts: [],
  verify: ['--amcheck', '--amcheck-timeout'],
};

/** Flags that take no value. */
const SWITCHES = ['--renew', '--wait', '--abandon', '--amcheck'];

const OPERANDS: Partial<Record<ShimVerb, string>> = { receipts: 'ID', verify: 'FILE' };

/** @throws QuiesceError USAGE, with the flag at fault as field */
export function parseArguments(verb: ShimVerb, args: readonly string[]): Arguments {
  const { flags, operands } = split(verb, args);
  const expected = OPERANDS[verb];
  const surplus = expected === undefined ? operands[0] : operands[1];
  if (surplus !== undefined) throw usage(`unexpected argument ${quote(surplus)}`);
  const output = flags.get('--output') ?? 'text';
  if (output !== 'text' && output !== 'json') {
    throw usage(`-o must be text or json, not ${quote(output)}`, '-o');
  }
  for (const name of ['--ttl', '--timeout', '--amcheck-timeout']) {
    checkDuration(name, flags.get(name));
  }
  checkTogether(flags);
  const id = checkId('--id', flags.get('--id'));
  const operand = verb === 'receipts' ? checkId('ID', operands[0]) : operands[0];
  return {
    json: output === 'json',
    renew: flags.has('--renew'),
    wait: flags.has('--wait'),
    abandon: flags.has('--abandon'),
    amcheck: flags.has('--amcheck'),
    ...given({
      id,
      operand,
      ttl: flags.get('--ttl'),
      timeout: flags.get('--timeout'),
      idempotencyKey: checkKey('--idempotency-key', flags.get('--idempotency-key')),
      amcheckTimeout: flags.get('--amcheck-timeout'),
    }),
  };
}

function checkTogether(flags: ReadonlyMap<string, string>): void {
  for (const [flag, other] of [
    ['--amcheck-timeout', '--amcheck'],
    ['--renew', '--id'],
  ] as const) {
    if (flags.has(flag) && !flags.has(other)) throw usage(`${flag} needs ${other}`, flag);
  }
  if (flags.has('--renew') && flags.has('--wait')) {
    throw usage('--renew has nothing to wait for: leave out --wait', '--wait');
  }
}

function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** Whether JSON was asked for, also where the rest of the line is wrong. */
export function wantsJson(args: readonly string[]): boolean {
  return args.some(
    (arg, at) =>
      /^(?:-o=?|--output=)json$/.test(arg) ||
      ((arg === '-o' || arg === '--output') && args[at + 1] === 'json'),
  );
}

function split(verb: ShimVerb, args: readonly string[]) {
  const flags = new Map<string, string>();
  const operands: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      operands.push(...rest.splice(0));
    } else if (arg === '-' || !arg.startsWith('-')) {
      operands.push(arg);
    } else {
      const { name, shown, inline } = readFlag(verb, arg);
      if (flags.has(name)) throw usage(`${shown} is given twice`, shown);
      if (SWITCHES.includes(name)) {
        if (inline !== undefined) throw usage(`${name} takes no value`, name);
        flags.set(name, '');
      } else {
        flags.set(name, inline ?? takeValue(shown, rest));
      }
    }
  }
  return { flags, operands };
}

function readFlag(verb: ShimVerb, arg: string) {
  const short = /^-o=?(.*)$/s.exec(arg);
  if (short && !arg.startsWith('--')) {
    return { name: '--output', shown: '-o', inline: short[1] === '' ? undefined : short[1] };
  }
  const [, name = arg, inline] = /^(--[^=]*)=(.*)$/s.exec(arg) ?? [];
  if (name !== '--output' && !FLAGS[verb].includes(name)) {
    throw usage(`unknown flag ${printable(name)} for quiesce ${verb}`, printable(name));
  }
  return { name, shown: name, inline };
}

function takeValue(flag: string, rest: string[]): string {
  const value = rest[0];
  if (value === undefined || /^-[^0-9]/.test(value)) {
    throw usage(`${flag} needs a value`, flag);
  }
  rest.shift();
  return value;
}

function checkId(name: string, id: string | undefined): string | undefined {
  if (id !== undefined && !/^[A-Za-z0-9._:-]{1,128}$/.test(id)) {
    throw usage(`${name} must be 1–128 of A-Za-z0-9._:-`, name);
  }
  return id;
}

function checkKey(name: string, key: string | undefined): string | undefined {
  if (key !== undefined && !/^[\u0021-\u007E]{1,255}$/.test(key)) {
    throw usage(`${name} must be 1–255 visible ASCII characters`, name);
  }
  return key;
}

function checkDuration(flag: string, text: string | undefined): void {
  if (text === undefined) return;
  const ms = parseDuration(text);
  if (ms === undefined) {
    const want = 'must be a duration with a unit, such as 500ms, 30s or 10m';
    throw usage(`${flag} ${want}, not ${quote(text)}`, flag);
  }
  if (ms < 1) throw usage(`${flag} must be longer than zero`, flag);
  if (ms > LONGEST_MS) throw usage(`${flag} must not be longer than 24h`, flag);
}

function usage(message: string, field?: string): QuiesceError {
  return new QuiesceError('USAGE', `${message}.`, field === undefined ? {} : { field });
}

function quote(text: string): string {
  return JSON.stringify(printable(text));
}

function printable(text: string): string {
  return text.replaceAll(/[\p{C}]/gu, '?').slice(0, 60);
}
