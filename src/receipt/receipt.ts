import { z } from 'zod';
import { ID_FORM, ID_PATTERN } from '../defaults.ts';

/** 1–128 characters from `A-Za-z0-9._:-`. */
export const freezeId = z.string().regex(ID_PATTERN, `must be ${ID_FORM}`);

/** Registered, and not copied by `meta`: it is recursive, so the published schemas must refer to it by name. */
export const jsonValue = z
  .json()
  .register(z.globalRegistry, { id: 'Json', description: 'Any JSON value.' });

/**
 * How the volume will be copied: `snapshot` is one volume, atomically; `volumes` is several, each
 * atomically but at different moments; `files` is file by file.
 */
export const COPY_METHODS = ['snapshot', 'volumes', 'files'] as const;
export type CopyMethod = (typeof COPY_METHODS)[number];

const instant = z.iso.datetime();
const millis = z.number().nonnegative().nullable();

/** Reason code of a freeze whose receipt may still be on a volume: later copies would carry it. */
export const NOT_REMOVED = 'receipt-not-removed';

export const VERDICTS = ['held', 'consistent', 'inconsistent'] as const;

/** The proof of one freeze. Published as `docs/receipt.schema.json`. It never contains a secret. */
export const receiptSchema = z
  .object({
    apiVersion: z.literal('quiesce.dev/v1'),
    kind: z.literal('Receipt'),
    id: freezeId,
    app: z.string().optional().describe('QUIESCE_APP of the sidecar'),
    engine: z.object({
      name: z.string(),
      version: z.string().nullable().describe('as the server prints it; null if it never answered'),
      role: z.string().nullable(),
      identity: z.record(z.string(), z.string()),
    }),
    mode: z
      .string()
      .nullable()
      .describe('what a copy made during the hold is, such as sealed or crash-consistent'),
    copy: z.enum(COPY_METHODS),
    writesBlocked: z.boolean(),
    requestedAt: instant,
    frozenAt: instant.nullable().describe('null: the hold was never in place'),
    expiresAt: instant.nullable().describe('when the lease expires'),
    thawedAt: instant.nullable(),
    thawedBy: z
      .string()
      .optional()
      .describe('who requested the thaw that ended it; absent where no thaw did'),
    durationsMs: z.object({ prepare: millis, freeze: millis, held: millis, thaw: millis }),
    position: z.record(z.string(), jsonValue).nullable().describe("in the engine's own terms"),
    restore: z
      .record(z.string(), jsonValue)
      .nullable()
      .describe('what a restore must put back, and what it may expect'),
    evidence: z
      .object({
        onVolume: z.boolean().describe('.quiesce/receipt.json was written to the data volume'),
        detail: z.string().describe('where it is, or why it could not be written'),
      })
      .describe('whether a copy carries this receipt'),
    restoreMark: z
      .string()
      .nullable()
      .optional()
      .describe(
        'the restores that made the pod, QUIESCE_RESTORE_MARK of the sidecar; null: none did; absent: not known',
      ),
    unsynced: z
      .array(z.string())
      .optional()
      .describe('files outside of the database that may not be on the disk in a snapshot'),
    verdict: z.enum(VERDICTS),
    reasons: z
      .array(z.string())
      .describe('codes: why the freeze is inconsistent, or what limits its promise'),
    notes: z.array(z.string()).describe('sentences that explain the reasons'),
  })
  .meta({ id: 'Receipt', description: 'The proof of one freeze.' });

export type Receipt = z.infer<typeof receiptSchema>;

/** Evidence against a hold, from the engine or from the volume. */
export interface Breach {
  /** Such as `server-restarted`. */
  readonly code: string;
  /** One sentence for the operator. */
  readonly note: string;
}
