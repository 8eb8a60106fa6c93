import type { PrepareOutcome, RestoreModule } from '../engines/restore-module.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { originOf, type RestoreMark } from '../receipt/restore-mark.ts';
import { ReceiptVolume } from '../receipt/volume.ts';
import { isKnownCopy } from '../receipt/volume-results.ts';

/** Loads the module of an engine; `undefined` for an unknown engine. */
export type LoadRestore = (engine: string) => Promise<RestoreModule | undefined>;

interface Question {
  readonly dataDir: string;
  readonly dryRun: boolean;
  readonly restoreMark: RestoreMark;
  readonly load: LoadRestore;
}

/**
 * The outcome for a volume that is no copy, by the mark of its pod; `null` for a copy, and without a receipt.
 *
 * Without any mark even a receipt that cannot be read must not stop the server: nothing on a live volume
 * depends on it.
 */
export async function leaveLive(
  question: Question,
  read: () => Promise<Receipt | null>,
): Promise<PrepareOutcome | null> {
  const { restoreMark, dryRun, dataDir, load } = question;
  const receipt = await read().catch((error: unknown) => {
    if (restoreMark === null) return 'unreadable' as const;
    throw error;
  });
  if (receipt === null) return null;
  if (receipt === 'unreadable') return untouched(dryRun, live('a freeze', null));
  if (originOf(receipt, restoreMark) !== 'live') return null;
  // The pod of the restore was made again, without its label, before it had proven the copy.
  if (await isKnownCopy(new ReceiptVolume(dataDir), receipt)) return null;
  const { engine, id } = receipt;
  const module = await load(engine.name);
  if ((await module?.isHalfDone?.(receipt, dataDir)) === true) return null;
  const mark = restoreMark ?? null;
  return { ...untouched(dryRun, live(`the freeze ${id}`, mark)), id, engine: engine.name };
}

function live(freeze: string, mark: string | null) {
  const why =
    mark === null
      ? 'no restore made this pod'
      : `the restore that made this pod (${mark}) came before that freeze`;
  return {
    outcome: 'live-volume',
    message: `The volume has the receipt of ${freeze}, but ${why}: this is the live volume of a pod that died while frozen, and nothing was changed or proven.`,
    notes: [
      'If it is a copy, give its restore a name of its own (quiesce.dev/restore-name), or run this without --restore-mark before the server starts.',
    ],
  } as const;
}

/** An outcome without any change or proof. */
export function untouched(
  dryRun: boolean,
  what: Pick<PrepareOutcome, 'outcome' | 'message'> & Partial<PrepareOutcome>,
): PrepareOutcome {
  return {
    dryRun,
    id: null,
    engine: null,
    dataDirectory: null,
    placed: [],
    removed: [],
    proof: null,
    notes: [],
    ...what,
  };
}
