import { type ErrorCode, QuiesceError, toQuiesceError } from '../errors.ts';
import { reportFailure, writeResult, writeTo } from '../lib/command-line/failure.ts';
import { describeFlags, wrap } from '../lib/command-line/flag-help.ts';
import { printableLines } from '../lib/command-line/printable.ts';
import { type Flag, type Flags, oneOf, type Values } from '../lib/command-line/flags.ts';
import { asksForHelp, formatAsked, readFlags } from '../lib/command-line/read-flags.ts';
import { Interrupt } from './interrupt.ts';
import { ProgressLine } from './progress-line.ts';

/** The formats of a result. */
export type Format = 'text' | 'json' | 'yaml' | 'table' | 'html';

/** What a verb gets besides its flags. */
export interface Surface {
  /** Words of the command line that are not flags. */
  readonly operands: readonly string[];
  readonly format: Format;
  /** Aborts on SIGINT and SIGTERM, from the first time it is read: the verb must then end the work itself. */
  readonly signal: AbortSignal;
  /** On a terminal, for long work: one line on stderr, redrawn, and erased at the end. */
  readonly progress: ProgressLine;
  /** Prints the result on stdout: `text` for people, or the document in the format asked for. */
  print(document: unknown, text: string | (() => string)): Promise<void>;
  /** Prints a line for people on stderr. */
  say(line: string): void;
}

export interface VerbSpec<F extends Flags> {
  readonly name: string;
  /** What follows the name: one line for each way to use the verb. */
  readonly usage: readonly string[];
  /** The description in its help. */
  readonly about: string;
  readonly flags: F;
  /** Lets environment variables with this prefix set the flags. */
  readonly variables?: string;
  /** How many operands it accepts; none by default. */
  readonly operands?: number;
  /** Gives the verb the flag `-o`, with the first format as default. Errors use the format, too. */
  readonly formats?: readonly [Format, ...Format[]];
  /** Prints JSON on one line, for a verb whose output goes to a log. */
  readonly compact?: boolean;
  /** Text after the flags in its help. */
  readonly notes?: string;
  /** The meaning of each exit code. */
  readonly exits: Readonly<Record<number, string>>;
  /** Exit codes of errors that are not those of the catalogue. */
  readonly exitCodes?: Readonly<Partial<Record<ErrorCode, number>>>;
  /** How long the work may take to stop after a signal; 5 s by default. */
  readonly stopWithinMs?: number;
  /** @returns the exit code */
  work(values: Values<F>, surface: Surface): Promise<number>;
}

/**
 * The one way to run a verb: reads its flags, answers `--help`, reports errors and turns them into exit
 * codes.
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
    const interrupt = new Interrupt(spec.stopWithinMs);
    try {
      const { name, operands = 0, variables: prefix } = spec;
      const variables = prefix === undefined ? undefined : { prefix, env: process.env };
      const parsed = readFlags(name, flags, args, { operands, ...(variables && { variables }) });
      const surface = surfaceOf(spec, parsed.operands, format, progress, interrupt);
      return await spec.work(parsed.values as Values<F>, surface);
    } catch (thrown) {
      progress.end();
      const error = toQuiesceError(interrupt.happened ? interrupted(spec.name) : thrown);
      const exit = reportFailure(error, format);
      return spec.exitCodes?.[error.code] ?? exit;
    } finally {
      progress.end();
      interrupt.release();
    }
  };
}

function withOutput({ flags, formats }: VerbSpec<Flags>): Flags {
  if (formats === undefined) return flags;
  const output: Flag<Format> = oneOf(formats, 'the format of the result', {
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
      await writeResult(process.stdout, await render(format, document, text, compact === true));
    },
    say: (line) => {
      progress.end();
      writeTo(process.stderr, `${printableLines(line)}\n`);
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
    hint: 'Run it again; it continues where it stopped.',
  });
}
