import { QuiesceError } from '../errors.ts';
import { reportFailure, writeTo } from '../lib/command-line/failure.ts';
import { describeFlags, wrap } from '../lib/command-line/flag-help.ts';
import { type Flag, type Flags, oneOf, type Values } from '../lib/command-line/flags.ts';
import { asksForHelp, formatAsked, readFlags } from '../lib/command-line/read-flags.ts';
import { Interrupt } from './interrupt.ts';
import { ProgressLine } from './progress-line.ts';

/** How a result can be printed. */
export type Format = 'text' | 'json' | 'yaml' | 'table';

/** What a verb is given beside its flags. */
export interface Surface {
  /** Words of the command line that are no flags. */
  readonly operands: readonly string[];
  readonly format: Format;
  /** Aborted by Ctrl-C and SIGTERM from the first look at it on: the verb then ends by itself. */
  readonly signal: AbortSignal;
  /** On a terminal, where the work takes long: one line on stderr that is replaced, and gone at the end. */
  readonly progress: ProgressLine;
  /** The result, on stdout. `text` is for people; a machine gets the document. */
  print(document: unknown, text: string | (() => string)): Promise<void>;
  /** A line for whoever looks on, on stderr. */
  say(line: string): void;
}

export interface VerbSpec<F extends Flags> {
  readonly name: string;
  /** What follows the name, a line for each way to use it. */
  readonly usage: readonly string[];
  /** What it does: paragraphs. */
  readonly about: string;
  readonly flags: F;
  /** Each flag may be a variable of the environment, too, with this prefix. */
  readonly variables?: string;
  /** How many words that are no flags it takes. */
  readonly operands?: number;
  /** Text is the first. With any other the verb has `-o`, and errors come as documents, too. */
  readonly formats?: readonly [Format, ...Format[]];
  /** JSON on one line, for a verb whose output ends in a log. */
  readonly compact?: boolean;
  /** Paragraphs after the flags. */
  readonly notes?: string;
  /** What its exit codes mean. */
  readonly exits: Readonly<Record<number, string>>;
  /** @returns the exit code */
  work(values: Values<F>, surface: Surface): Promise<number>;
}

/**
 * One way to run a verb: its flags are read, `--help` is made from them, errors are told and become
 * exit codes.
 *
 * @returns what `src/commands/index.ts` runs
 */
export function verb<const F extends Flags>(
  spec: VerbSpec<F>,
): (args: readonly string[]) => Promise<number> {
  const flags = withOutput(spec);
  return async (args) => {
    if (asksForHelp(args)) {
      writeTo(process.stdout, `${helpOf(spec, flags)}\n`);
      return 0;
    }
    const format = spec.formats?.find((one) => one === formatAsked(args));
    const progress = new ProgressLine();
    const interrupt = new Interrupt();
    try {
      const { name, operands = 0, variables: prefix } = spec;
      const variables = prefix === undefined ? undefined : { prefix, env: process.env };
      const parsed = readFlags(name, flags, args, { operands, ...(variables && { variables }) });
      const surface = surfaceOf(spec, parsed.operands, format, progress, interrupt);
      return await spec.work(parsed.values as Values<F>, surface);
    } catch (thrown) {
      progress.end();
      return reportFailure(interrupt.happened ? interrupted(spec.name) : thrown, format);
    } finally {
      progress.end();
      interrupt.release();
    }
  };
}

function withOutput({ flags, formats }: VerbSpec<Flags>): Flags {
  if (formats === undefined) return flags;
  const output: Flag<Format> = oneOf(formats, 'how the result is printed', {
    short: 'o',
    fallback: formats[0],
  });
  return { ...flags, output };
}

function surfaceOf(
  { formats, compact }: Pick<VerbSpec<Flags>, 'formats' | 'compact'>,
  operands: readonly string[],
  asked: Format | undefined,
  progress: ProgressLine,
  interrupt: Interrupt,
): Surface {
  const format = asked ?? formats?.[0] ?? 'text';
  return {
    operands,
    format,
    progress,
    get signal() {
      return interrupt.signal;
    },
    print: async (document, text) => {
      progress.end();
      writeTo(process.stdout, await render(format, document, text, compact === true));
    },
    say: (line) => {
      progress.end();
      writeTo(process.stderr, `${line}\n`);
    },
  };
}

async function render(
  format: Format,
  document: unknown,
  text: string | (() => string),
  compact: boolean,
): Promise<string> {
  if (format === 'json') return `${JSON.stringify(document, null, compact ? 0 : 2)}\n`;
  if (format === 'yaml') return (await import('yaml')).stringify(document);
  const words = typeof text === 'string' ? text : text();
  return words.endsWith('\n') ? words : `${words}\n`;
}

function helpOf(spec: VerbSpec<Flags>, flags: Flags): string {
  const { name, usage, about, notes, exits } = spec;
  const codes = Object.entries(exits).map(([code, meaning]) => `${code} ${meaning}`);
  return [
    `Usage: ${usage.map((line) => `quiesce ${name} ${line}`.trimEnd()).join('\n       ')}`,
    about.trim(),
    ...(Object.keys(flags).length > 0 ? [describeFlags(flags)] : []),
    ...(notes === undefined ? [] : [notes.trim()]),
    wrap(`Exit codes: ${codes.join('; ')}.`).join('\n'),
  ].join('\n\n');
}

function interrupted(name: string): QuiesceError {
  return new QuiesceError('INTERNAL', `Interrupted before ${name} was done.`, {
    hint: 'Run it again; it takes up where it was.',
  });
}
