import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { describeErrno, makeFolder, writeDurably } from '../lib/durable-files.ts';
import { readRegular } from '../lib/regular-file.ts';
import type { Json } from '../engines/engine.ts';
import { jsonValue } from '../receipt/receipt.ts';
import { CONTENT_STATES, RESTORE_LEVELS, UNPROVEN_REASONS } from '../receipt/restore-level.ts';
import { namesFurther } from '../receipt/restore-mark.ts';
import { RESTORE_STATE_FILE, type ReceiptVolume } from '../receipt/volume.ts';
import { isInDoubt } from './view.ts';

const STATE_FILE = 'restore.json';

const json: z.ZodType<Json> = jsonValue;

export const restoreRecordSchema = z.object({
  view: z.object({
    id: z.string().nullable(),
    mark: z.string().nullable(),
    level: z.enum(RESTORE_LEVELS),
    reason: z.enum(UNPROVEN_REASONS).optional(),
    verified: z.boolean().nullable(),
    checkedAt: z.string().nullable(),
    message: z.string(),
    content: z
      .object({
        state: z.enum(CONTENT_STATES),
        checkedAt: z.string().nullable(),
        message: z.string(),
      })
      .nullable(),
    differences: z
      .array(
        z.object({
          kind: z.string(),
          what: z.string(),
          was: json,
          is: json,
          fix: z.string().optional(),
        }),
      )
      .readonly()
      .nullish(),
  }),
  settled: z
    .object({ how: z.enum(['acknowledged', 'freeze']), by: z.string(), at: z.string() })
    .nullable(),
});

/** What was found out about the last restore, and who has accepted it. */
export type RestoreRecord = z.infer<typeof restoreRecordSchema>;

export interface Records {
  /** From the volume; it is part of every copy. */
  readonly volume: RestoreRecord | null;
  /** From the state directory, which no copy contains. */
  readonly state: RestoreRecord | null;
  readonly mounted: boolean;
}

/**
 * The record that is about the present data; `null`: there is none, or it may have come with a copy.
 *
 * A pod with another mark has other data. Without a mark a record of the volume may describe the volume
 * that was copied: then a doubt is repeated, and a success only if this sidecar's own state agrees.
 */
export function recordFor(
  mark: string | null | undefined,
  { volume, state, mounted }: Records,
): RestoreRecord | null {
  // This sidecar writes both, so its own state is at least as new.
  if (mark) return [state, volume].find((one) => one !== null && covers(one, mark)) ?? null;
  if (!mounted) return state;
  const record = volume ?? state;
  if (record === null) return null;
  const doubt = record.settled === null && isInDoubt(record.view);
  return doubt || isDeepStrictEqual(volume, state) ? record : null;
}

/**
 * Whether the record is of this restore. A mark may have several names, joined with commas: the pod that
 * follows may have lost one of them, and only a further name shows another restore.
 */
function covers({ view }: RestoreRecord, mark: string): boolean {
  return !namesFurther(mark, view.mark);
}

/** Keeps the record on the volume and in the state directory. */
export class RestoreRecords {
  readonly #volume: ReceiptVolume;
  readonly #stateDir: string;

  constructor(volume: ReceiptVolume, stateDir: string) {
    this.#volume = volume;
    this.#stateDir = stateDir;
  }

  async read(): Promise<Records> {
    const own = join(this.#stateDir, STATE_FILE);
    const [volume, state] = await Promise.all([
      this.#volume.read(RESTORE_STATE_FILE).catch(() => null),
      readRegular(own).catch(() => null),
    ]);
    return {
      volume: parse(volume),
      state: parse(state),
      mounted: this.#volume.dataDir !== undefined,
    };
  }

  /** @returns why it is in neither place; `null`: it is durable in at least one */
  async write(record: RestoreRecord): Promise<string | null> {
    const text = textOf(record);
    const results = await Promise.allSettled([this.#onVolume(text), this.#inState(text)]);
    const failed = results.filter((one) => one.status === 'rejected');
    return failed.length < results.length ? null : describeErrno(failed[0]?.reason);
  }

  async #onVolume(text: string): Promise<void> {
    if (this.#volume.dataDir === undefined) throw new Error('no volume is mounted');
    await this.#volume.write(RESTORE_STATE_FILE, text);
  }

  async #inState(text: string): Promise<void> {
    await makeFolder(this.#stateDir, 0o700);
    await writeDurably(join(this.#stateDir, STATE_FILE), text, { mode: 0o600 });
  }
}

/** Keeps the record on the volume alone, if it can be written to. */
export async function keepOnVolume(volume: ReceiptVolume, record: RestoreRecord): Promise<void> {
  await volume.write(RESTORE_STATE_FILE, textOf(record)).catch(() => undefined);
}

/**
 * Whether the volume was judged for this restore before, against a receipt or accepted by a person: its
 * server has run then, so a restart of the pod needs no receipt any more.
 */
export async function judgedBefore(volume: ReceiptVolume, mark: string): Promise<boolean> {
  const record = parse(await volume.read(RESTORE_STATE_FILE).catch(() => null));
  if (record === null || !covers(record, mark)) return false;
  return record.view.id !== null || record.settled !== null;
}

function textOf(record: RestoreRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

function parse(text: string | null): RestoreRecord | null {
  if (text === null) return null;
  try {
    return restoreRecordSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
