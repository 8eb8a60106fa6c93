import { parseDuration } from '../duration.ts';
import { QuiesceError } from '../errors.ts';

export const SHIM_VERBS = ['freeze', 'thaw', 'status', 'metadata', 'receipts', 'verify'] as const;
export type ShimVerb = (typeof SHIM_VERBS)[number];

/** A command line that was understood. Durations are texts with a unit that were checked. */
export interface Arguments {
  readonly json: boolean;
  readonly id?: string;
  readonly ttl?: string;
  readonly timeout?: string;
  readonly amcheck: boolean;
  readonly amcheckTimeout?: string;
  /** FILE of verify, ID of receipts. */
  readonly operand?: string;
}

const LONGEST_MS = 24 * 3_600_000;

const FLAGS: Readonly<Record<ShimVerb, readonly string[]>> = {
  freeze: ['--id', '--ttl', '--timeout'],
  thaw: ['--id'],
  status: [],
  metadata: [],
  receipts: [],
  verify: ['--amcheck', '--amcheck-timeout'],
};

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
  if (flags.has('--amcheck-timeout') && !flags.has('--amcheck')) {
    throw usage('--amcheck-timeout needs --amcheck', '--amcheck-timeout');
  }
  const id = checkId('--id', flags.get('--id'));
  const operand = verb === 'receipts' ? checkId('ID', operands[0]) : operands[0];
  const ttl = flags.get('--ttl');
  const timeout = flags.get('--timeout');
  const amcheckTimeout = flags.get('--amcheck-timeout');
  return {
    json: output === 'json',
    amcheck: flags.has('--amcheck'),
    ...(id === undefined ? {} : { id }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(amcheckTimeout === undefined ? {} : { amcheckTimeout }),
    ...(operand === undefined ? {} : { operand }),
  };
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
      if (name === '--amcheck') {
        if (inline !== undefined) throw usage('--amcheck takes no value', name);
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
