/** What is true of the product, asked of the code itself. */
import { COMMANDS } from '../../../src/commands/index.ts';
import { SHIM_VERBS, parseArguments } from '../../../src/shim/args.ts';
import { helpFor } from '../../../src/shim/help.ts';
import { files, read } from './repository.ts';
import type { FlagNamed, Request } from './statements.ts';

/** Not by the table of commands, which sets up the process for a sidecar. */
async function load(verb: string): Promise<{ run(args: readonly string[]): Promise<number> }> {
  return await import(`../../../src/commands/${verb}.ts`);
}

export const VERBS: readonly string[] = [...SHIM_VERBS, ...Object.keys(COMMANDS)];

/** What the overview lists where every command can run. */
export const SUMMARIES: readonly (readonly [string, string])[] = Object.entries(COMMANDS).map(
  ([verb, { summary }]) => [verb, summary],
);

interface Ran {
  readonly text: string;
  readonly exit: number | undefined;
}

/** Runs a command in this process, and keeps what it prints. */
export async function ran(verb: string, args: string[]): Promise<Ran> {
  const streams = [process.stdout, process.stderr];
  const writes = streams.map((stream) => stream.write.bind(stream));
  const before = process.stdout.listeners('error');
  let text = '';
  const keep = ((part: string, done?: unknown): boolean => {
    text += part;
    if (typeof done === 'function') done();
    return true;
  }) as typeof process.stdout.write;
  for (const stream of streams) stream.write = keep;
  try {
    const command = await load(verb);
    const exit = await command.run(args).catch((error: unknown) => {
      text += String(error);
      return undefined;
    });
    return { text, exit };
  } finally {
    streams.forEach((stream, at) => (stream.write = writes[at] as typeof keep));
    // A command that prints much listens for a closed pipe, once each.
    const added = process.stdout.listeners('error').filter((one) => !before.includes(one));
    for (const one of added) process.stdout.off('error', one as () => void);
  }
}

export async function helpOf(verb: string): Promise<string> {
  const shim = SHIM_VERBS.find((known) => known === verb);
  return shim === undefined ? (await ran(verb, ['--help'])).text : helpFor(shim);
}

function refusal(verb: (typeof SHIM_VERBS)[number], flag: string): string {
  try {
    parseArguments(verb, [flag, '--no-such-flag']);
  } catch (error) {
    return String(error);
  }
  return '';
}

/** Whether a verb takes a flag, by giving it that one before another that none takes. */
async function takes(verb: string, flag: string): Promise<boolean> {
  if (flag === '--help' || flag === '--version') return true;
  const shim = SHIM_VERBS.find((known) => known === verb);
  // Such a line is refused, so no command gets so far as to do anything.
  const said = shim ? refusal(shim, flag) : (await ran(verb, [flag, '--no-such-flag'])).text;
  if (!/flag|option|value/i.test(said)) throw new Error(`${verb} ${flag}: ${said}`);
  return !new RegExp(String.raw`unknown (?:option|flag) '?${flag}\b(?!-)`, 'i').test(said);
}

const answers = new Map<string, Promise<boolean>>();

/** Whether a verb takes a flag; without a verb, whether any does. An unknown verb takes none. */
export async function flagExists({ verb, flag }: FlagNamed): Promise<boolean> {
  if (verb === undefined) {
    for (const one of VERBS) if (await flagExists({ verb: one, flag })) return true;
    return false;
  }
  if (!VERBS.includes(verb)) return false;
  const key = `${verb} ${flag}`;
  const answer = answers.get(key) ?? takes(verb, flag);
  answers.set(key, answer);
  return await answer;
}

interface Operations {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Of the ports beside the control API, which the OpenAPI document describes. */
const OTHERS = new Map([
  ['/metrics', 'get'],
  ['/healthz', 'get'],
  ['/readyz', 'get'],
  ['/openapi.json', 'get'],
  ['/mutate', 'post'],
  ['/restore', 'post'],
]);

export function requestExists({ method, path }: Request): boolean {
  const { paths } = JSON.parse(read('docs/openapi.json')) as Operations;
  const bare = path.replace(/[.:]+$/, '');
  const other = OTHERS.get(bare);
  if (other !== undefined) return method === undefined || method.toLowerCase() === other;
  const found = Object.entries(paths).find(([known]) =>
    new RegExp(`^${known.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(bare),
  );
  return found !== undefined && (method === undefined || method.toLowerCase() in found[1]);
}

/** The codes of problems: what the doctor finds, and what plans, runs and validations report. They are no errors. */
export function problemCodes(): ReadonlySet<string> {
  const findings = read('docs/doctor.md').matchAll(/^### ([A-Z_]+)$/gm);
  const sources = files.filter((name) =>
    /^src\/cluster\/(?:plan|snapshot|health|validate)\//.test(name),
  );
  const quoted = sources.flatMap((name) => [...read(name).matchAll(/'([A-Z]+(?:_[A-Z]+)+)'/g)]);
  return new Set([...findings, ...quoted].map(([, code = '']) => code));
}
