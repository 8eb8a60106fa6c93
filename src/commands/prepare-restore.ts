import { loadRestore } from '../engines/index.ts';
import { ENGINE_NAMES, entryOf } from '../engines/names.ts';
import { SCAN_FULL, SCAN_MS, SCAN_VARIABLE } from '../defaults.ts';
import { durationProblem, parseDuration, writeDuration } from '../lib/duration.ts';
import { BadValue, matching, text, toggle, value } from '../lib/command-line/flags.ts';
import { quote } from '../lib/command-line/printable.ts';
import { QuiesceError } from '../errors.ts';
import { parseRestoreMark, RESTORE_MARK } from '../receipt/restore-mark.ts';
import {
  type PrepareOutcome,
  type PrepareProgress,
  prepareRestore,
} from '../restore/prepare-restore.ts';
import { holdUntilNamed } from '../restore/hold.ts';
import { verb } from './verb.ts';

export const run = verb({
  name: 'prepare-restore',
  usage: [
    '--data DIR [--receipt FILE] [--scan DURATION|full] [--restore-mark TEXT] [--require-receipt] [--hold-file FILE] [--dry-run] [-o text|json]',
  ],
  about: `
Prepares a restored copy of a database for its first start. Run it after the volume
was restored and before the server starts: by hand, or as an init container.

It reads DIR/.quiesce/receipt.json, which a freeze left on the volume, proves from the
files alone that the copy contains what the receipt promises, and writes the files that
the server needs.
${ENGINE_NAMES.map((name) => entryOf(name).restoreHelp).join('\n')}
Without a receipt it changes nothing, says so and exits 0, unless --require-receipt is given. It is safe
to run again. Without --restore-mark, you say that the volume is a copy.`,
  flags: {
    data: text('DIR', 'where the volume is mounted, as QUIESCE_DATA_DIR was', { required: true }),
    receipt: text(
      'FILE',
      'the final receipt, which quiesce thaw printed: the JSON, or the whole line. Needed for copies of several volumes (QUIESCE_COPY=volumes), whose label did not exist yet when the volumes were copied',
      {},
    ),
    scan: value(
      'DURATION|full',
      `PostgreSQL, MongoDB: how long to look at the pages of the data, or full for all of them; the default is that of ${SCAN_VARIABLE}, or ${writeDuration(SCAN_MS)}`,
      {},
      readScan,
    ),
    'require-receipt': toggle(
      'refuse a restored volume that has no receipt, instead of leaving it as it is',
    ),
    'restore-mark': matching(
      'TEXT',
      'for init containers: the restores that made the pod, joined with commas; may be empty. If it names none but those in the receipt, the volume is a live one: nothing is changed, and the exit code is 0',
      {},
      RESTORE_MARK,
    ),
    'hold-file': text(
      'FILE',
      'for init containers of a staged restore: afterwards wait until the file names a restore of --restore-mark',
      {},
    ),
    'dry-run': toggle('prove everything, but write nothing'),
  },
  formats: ['text', 'json'],
  compact: true,
  exits: {
    0: 'prepared, prepared before, a live volume, or nothing to do',
    1: 'unexpected',
    2: 'bad flags',
    5: 'a server runs on the data, or the data cannot be read or written',
    7: 'the copy does not contain what its receipt promises, or a server has run on it',
  },
  work: async (
    {
      data,
      receipt,
      scan,
      'restore-mark': mark,
      'require-receipt': requireReceipt,
      'hold-file': holdFile,
      'dry-run': dryRun,
    },
    surface,
  ) => {
    const { signal, progress } = surface;
    const outcome = await prepareRestore(
      {
        dataDir: data,
        receiptFile: receipt,
        requireReceipt,
        restoreMark: parseRestoreMark(mark),
        dryRun,
        scanMs: scan === undefined ? scanOfEnvironment() : scan,
        load: loadRestore,
        onProgress: (step) => progress.say(describeStep(step)),
      },
      signal,
    );
    await surface.print(outcome, describeOutcome(outcome));
    if (holdFile !== undefined) await holdUntilNamed(holdFile, mark, signal);
    return 0;
  },
});

/** @returns milliseconds; `null`: all pages, however long that takes */
function readScan(given: string): number | null {
  if (given === SCAN_FULL) return null;
  const problem = durationProblem(given);
  if (problem !== undefined) throw new BadValue(`${problem}, or full, not ${quote(given)}`);
  return parseDuration(given) ?? null;
}

function scanOfEnvironment(): number | null {
  const given = process.env[SCAN_VARIABLE] ?? '';
  // An empty value counts as unset, as for the sidecar's settings.
  if (given === '') return SCAN_MS;
  try {
    return readScan(given);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new QuiesceError('USAGE', `${SCAN_VARIABLE} ${error.message}.`, { field: SCAN_VARIABLE });
  }
}

function describeOutcome({ outcome, dryRun, message, notes }: PrepareOutcome): string {
  const dry = dryRun ? ' (dry run: nothing was written)' : '';
  return `${outcome}${dry}: ${[message, ...notes].join(' ')}`;
}

function describeStep({ step, done, total, unit }: PrepareProgress): string {
  return `${step}: ${done}${total > 0 ? ` of ${total}` : ''} ${unit}`;
}
