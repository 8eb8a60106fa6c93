import { parseArgs } from 'node:util';
import { loadRestore } from '../engines/index.ts';
import { QuiesceError, toQuiesceError } from '../errors.ts';
import {
  type PrepareOutcome,
  type PrepareProgress,
  prepareRestore,
} from '../restore/prepare-restore.ts';

const HELP = `Usage: quiesce prepare-restore --data DIR [--receipt FILE] [--dry-run] [-o text|json]

Prepares a restored copy of a database for its first start. Run it after the volume
was restored and before the server starts: by hand, or as an init container.

It reads DIR/.quiesce/receipt.json, which a freeze left on the volume, proves from the
files alone that the copy holds what the receipt promises, and puts in place what the
server needs. For PostgreSQL it
  - reads WAL record by record, with checksums, up to the marker of the freeze,
  - looks for data pages that are newer than that WAL (the copy was not atomic then),
  - makes sure that no server runs or has run on the copy,
  - writes backup_label (and tablespace_map) into the data directory.
For Redis it compares every file with the receipt, and says how the server must be started.
For MongoDB it makes sure that the copy was cut under the lock and that every table of it came
along, and prints what needs a running server: how to start it alone, or as a new set.
Without a receipt it changes nothing, says so and exits 0. Run again, it does no harm.

Options:
      --data DIR        where the volume is mounted: what QUIESCE_DATA_DIR was
      --receipt FILE    the final receipt, which quiesce thaw printed: JSON, or its whole line.
                        Needed for copies of several volumes (QUIESCE_COPY=volumes), whose
                        label did not exist yet when the volumes were cut
      --dry-run         prove everything, write nothing
  -o, --output FORMAT   text (one line, the default) or json
  -h, --help            this text

Exit codes:
  0  prepared, prepared before, or nothing to do
  1  unexpected
  2  bad flags
  5  a server runs on the data, or the data cannot be read or written
  7  the copy does not hold what its receipt promises, or a server has run on it
`;

interface Flags {
  readonly data: string;
  readonly receipt: string | undefined;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** The verb `prepare-restore`. @returns the exit code. */
export async function run(args: string[]): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return 0;
  }
  const progress = new ProgressLine();
  const interrupt = interruptible();
  try {
    const { data, receipt, dryRun } = readFlags(args);
    const outcome = await prepareRestore(
      {
        dataDir: data,
        receiptFile: receipt,
        dryRun,
        load: loadRestore,
        onProgress: (step) => progress.show(step),
      },
      interrupt.signal,
    );
    progress.clear();
    print(outcome, wantsJson(args));
    return 0;
  } catch (thrown) {
    progress.clear();
    const error = interrupt.signal.aborted ? interrupted() : toQuiesceError(thrown);
    printError(error, thrown, wantsJson(args));
    return error.exit;
  } finally {
    interrupt.end();
  }
}

function readFlags(args: string[]): Flags {
  let values: { data?: string; receipt?: string; 'dry-run'?: boolean; output?: string };
  try {
    ({ values } = parseArgs({
      args,
      strict: true,
      allowPositionals: false,
      options: {
        data: { type: 'string' },
        receipt: { type: 'string' },
        'dry-run': { type: 'boolean' },
        output: { type: 'string', short: 'o' },
      },
    }));
  } catch (error) {
    throw usage(firstLine(error));
  }
  const { data, receipt, output = 'text' } = values;
  if (output !== 'text' && output !== 'json') {
    throw usage(`--output: "${output}" is neither text nor json.`, '--output');
  }
  if (data === undefined || data === '') throw usage('--data DIR is required.', '--data');
  if (receipt === '') throw usage('--receipt names no file.', '--receipt');
  return { data, receipt, dryRun: values['dry-run'] === true, json: output === 'json' };
}

function firstLine(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}

function usage(message: string, field?: string): QuiesceError {
  const hint = 'Run: quiesce prepare-restore --help';
  return new QuiesceError('USAGE', message, field === undefined ? { hint } : { hint, field });
}

/** Known even when the flags are bad: errors come in the format asked for. */
function wantsJson(args: readonly string[]): boolean {
  return args.some(
    (arg, at) =>
      arg === '-ojson' ||
      arg === '--output=json' ||
      (arg === 'json' && (args[at - 1] === '-o' || args[at - 1] === '--output')),
  );
}

function print(outcome: PrepareOutcome, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
    return;
  }
  const dry = outcome.dryRun ? ' (dry run: nothing was written)' : '';
  process.stdout.write(
    `${outcome.outcome}${dry}: ${[outcome.message, ...outcome.notes].join(' ')}\n`,
  );
}

function printError(error: QuiesceError, thrown: unknown, json: boolean): void {
  if (json) process.stdout.write(`${JSON.stringify({ error: error.toBody() })}\n`);
  process.stderr.write(`quiesce: ${error.code}: ${error.message} Hint: ${error.hint}\n`);
  if (error.code === 'INTERNAL' && thrown instanceof Error && thrown !== error) {
    process.stderr.write(`${thrown.stack ?? thrown.message}\n`);
  }
}

function interrupted(): QuiesceError {
  return new QuiesceError('INTERNAL', 'Interrupted before the copy was prepared.', {
    hint: 'Run it again; it takes up where it was.',
  });
}

/**
 * Ctrl-C and an init container that is ended stop the work between two files. A disk that does not
 * answer would hold that up for ever: after a while, or at the second signal, the process just ends.
 */
function interruptible(): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const giveUp = (): never => process.exit(1);
  const abort = (): void => {
    if (controller.signal.aborted) giveUp();
    controller.abort();
    setTimeout(giveUp, GIVE_UP_AFTER_MS).unref();
  };
  process.on('SIGINT', abort);
  process.on('SIGTERM', abort);
  return {
    signal: controller.signal,
    end: () => {
      process.off('SIGINT', abort);
      process.off('SIGTERM', abort);
    },
  };
}

const GIVE_UP_AFTER_MS = 5_000;
const QUIET_MS = 2_000;
const REDRAW_MS = 200;

/** One line on a terminal's stderr, for work that takes longer than two seconds. */
class ProgressLine {
  readonly #begun = performance.now();
  #drawn = 0;

  show({ step, done, total, unit }: PrepareProgress): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#begun < QUIET_MS || now - this.#drawn < REDRAW_MS) {
      return;
    }
    this.#drawn = now;
    const of = total > 0 ? ` of ${total}` : '';
    process.stderr.write(`\r\x1b[K${step}: ${done}${of} ${unit}`);
  }

  clear(): void {
    if (this.#drawn > 0) process.stderr.write('\r\x1b[K');
    this.#drawn = 0;
  }
}
