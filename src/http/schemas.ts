import { z } from 'zod';
import {
  DEEP_TIMEOUT_MS,
  DURATION_FORM,
  DURATION_TOO_LONG,
  DURATION_TOO_SHORT,
  ID_FORM,
  KEY_FORM,
  KEY_PATTERN,
  LONGEST_MS,
} from '../defaults.ts';
import { parseDuration, writeDuration } from '../lib/duration.ts';
import type { ErrorCode } from '../errors.ts';
import { catalogue } from '../errors.ts';
import { freezeId, jsonValue, receiptSchema } from '../receipt/receipt.ts';
import { CONTENT_STATES, RESTORE_LEVELS, UNPROVEN_REASONS } from '../receipt/restore-level.ts';

/** Matches exactly the values of {@link durationField}, bounds included, for the OpenAPI document. */
const DURATION_PATTERN = [
  '^(?=\\d{1,9}(?:\\.|[msh]))',
  '(?!0+(?:\\.[0-4]\\d*)?ms$)(?!0+(?:\\.0+)?[smh]$)0*(?:',
  '(?:(?:\\d{1,7}|[1-7]\\d{7}|8[0-5]\\d{6}|86[0-3]\\d{5})(?:\\.\\d{1,3})?|86400000(?:\\.[0-4]\\d{0,2})?)ms|',
  '(?:(?:\\d{1,4}|[1-7]\\d{4}|8[0-5]\\d{3}|86[0-3]\\d\\d)(?:\\.\\d{1,3})?|86400(?:\\.0{1,3})?)s|',
  '(?:(?:\\d{1,3}|1[0-3]\\d\\d|14[0-3]\\d)(?:\\.\\d{1,3})?|1440(?:\\.0{1,3})?)m|',
  '(?:(?:1?\\d|2[0-3])(?:\\.\\d{1,3})?|24(?:\\.0{1,3})?)h)$',
].join('');

/** A duration in a body: text with a unit, from 1 ms to 24 h. Parse it with {@link parseDuration}. */
export const durationField = z
  .string({ error: DURATION_FORM })
  .regex(/^\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h)$/, { error: DURATION_FORM, abort: true })
  .refine((text) => (parseDuration(text) ?? 0) >= 1, DURATION_TOO_SHORT)
  .refine((text) => (parseDuration(text) ?? 0) <= LONGEST_MS, DURATION_TOO_LONG)
  .meta({ pattern: DURATION_PATTERN });

const idField = freezeId.describe(ID_FORM);

export const freezeBody = z.strictObject({
  id: idField.optional().describe('generated where absent'),
  ttl: durationField.optional().describe('how long the lease lasts before it expires'),
  timeout: durationField
    .optional()
    .describe('how long the freeze may take before it is rolled back'),
  renew: z.boolean().optional().describe('only renew the lease of the freeze with this id'),
  wait: z
    .boolean()
    .optional()
    .describe('wait until the timeout for another freeze to end, instead of failing immediately'),
  thawLast: z
    .boolean()
    .optional()
    .describe(
      'every volume is copied before the thaw: refuse a freeze of which one must be copied after it',
    ),
});

export const thawBody = z.strictObject({
  id: idField.optional().describe('thaw only this freeze'),
  abandon: z
    .boolean()
    .optional()
    .describe('release without claiming a success: the verdict is inconsistent'),
});

/** The headers of the calls that change something. */
export const callHeaders = z.looseObject({
  'idempotency-key': z
    .string()
    .regex(KEY_PATTERN, `must be ${KEY_FORM}`)
    .optional()
    .describe('identifies this call: a retry with the same key and body counts as the same call'),
});

/** The receipt. With `abandon` also whether anything was released, and the receipt only if so. */
export const thawAnswer = z.union([
  receiptSchema.extend({
    released: z.literal(true).optional().describe('present with abandon only'),
  }),
  z.object({
    released: z.literal(false).describe('nothing was held, or only a freeze with another id'),
  }),
]);

export const verifyBody = z.strictObject({
  receipt: receiptSchema,
  deep: z.boolean().optional().describe("also run the engine's own deep check of the data"),
  deepTimeout: durationField
    .optional()
    .describe(`ends the deep check; default ${writeDuration(DEEP_TIMEOUT_MS)}`),
  amcheck: z.boolean().optional().meta({ description: 'the older name of deep', deprecated: true }),
  amcheckTimeout: durationField
    .optional()
    .meta({ description: 'the older name of deepTimeout', deprecated: true }),
});

export const receiptParams = z.strictObject({ id: idField });

/** Refuses all query parameters: silently ignoring a `?ttl=…` would be a false promise. */
export const noQuery = z.strictObject({});

const errorCodes = Object.keys(catalogue) as [ErrorCode, ...ErrorCode[]];

const errorSchema = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  hint: z.string(),
  field: z.string().optional().describe('the field at fault'),
});

const checkSchema = z.object({
  name: z.string(),
  ok: z.boolean().describe('false: the database differs, or the check proves nothing'),
  expected: jsonValue.optional(),
  found: jsonValue.optional(),
  message: z.string(),
  unchecked: z.boolean().optional().describe('it could not look: nothing was found to differ'),
  deep: z.boolean().optional().describe('it belongs to the deep check of the data'),
});

const level = z.enum(RESTORE_LEVELS).describe('how far the restored data is proven');
const reason = z.enum(UNPROVEN_REASONS).optional().describe('with the level unproven');
const contentFound = z
  .enum(['passed', 'failed', 'unchecked'])
  .optional()
  .describe('the result of the deep check, where it was asked for');
const differences = z
  .array(
    z.object({
      kind: z.string(),
      what: z.string().describe('which one: its name, and its database where it has one'),
      was: jsonValue,
      is: jsonValue.describe('null: this server lacks it'),
      fix: z.string().optional().describe('what it means or what mends it'),
    }),
  )
  .nullable()
  .optional()
  .describe('in what the server differs from the one that was copied; null: not known');

export const errorAnswer = z
  .object({
    error: errorSchema,
    receipt: receiptSchema
      .optional()
      .describe('the final receipt of a thaw that is not consistent'),
    checks: z.array(checkSchema).optional().describe('the checks of a failed verification'),
    level: level.optional(),
    reason,
    content: contentFound,
    differences,
  })
  .meta({ id: 'Error', description: 'Every answer that is not a success.' });

export const verifyAnswer = z
  .object({
    verified: z.literal(true),
    level,
    content: contentFound,
    checks: z.array(checkSchema),
    differences,
  })
  .meta({ id: 'Verified', description: 'Every check passed.' });

export type Verified = z.infer<typeof verifyAnswer>;

export const metadataAnswer = z.record(z.string(), jsonValue).meta({
  id: 'Metadata',
  description: "What an operator needs in addition to the data, in the engine's terms.",
});

export type Metadata = z.infer<typeof metadataAnswer>;

export const receiptsAnswer = z
  .object({
    receipts: z.array(receiptSchema),
    restored: receiptSchema
      .nullable()
      .describe('the receipt of the copy that the volume was last restored from'),
  })
  .meta({ id: 'Receipts', description: 'The last receipts, newest first, at most ten.' });

export type StatusAnswer = z.infer<typeof statusAnswer>;

const instant = z.string().describe('ISO 8601, UTC');

const acknowledgedSchema = z.object({
  id: z.string().nullable(),
  mark: z.string().nullable(),
  level,
  reason,
  message: z.string().describe('what was reported until then'),
  by: z.string().describe('who acknowledged it; never trusted'),
  at: instant,
});

export const acknowledgeBody = z.strictObject({});

export const acknowledgeAnswer = z
  .object({ acknowledged: acknowledgedSchema })
  .meta({ id: 'Acknowledged', description: 'The restore that is no longer reported.' });

export const statusAnswer = z
  .object({
    state: z.enum(['thawed', 'freezing', 'frozen', 'thawing']),
    lease: z
      .object({
        id: z.string(),
        by: z.string().describe('who requested the freeze; never trusted'),
        requestedAt: instant,
        frozenAt: instant.nullable(),
        expiresAt: instant.nullable(),
        progress: z
          .string()
          .nullable()
          .describe("the progress of a long step, in the engine's words"),
        remainingMs: z.number().nullable(),
      })
      .nullable(),
    engine: z.object({
      name: z.string(),
      reachable: z.boolean(),
      version: z.string().nullable(),
      role: z.string().nullable(),
      identity: z.record(z.string(), z.string()),
      message: z.string().nullable().describe('why it is not reachable'),
    }),
    copy: z.string(),
    ttlMaxMs: z.number().describe('the longest lease that a freeze may ask for'),
    restore: z
      .object({
        id: z
          .string()
          .nullable()
          .describe('the freeze in whose hold the copy was cut; null: the volume has no receipt'),
        mark: z.string().nullable().describe('the restore that made the pod, where it is known'),
        level,
        reason,
        verified: z
          .boolean()
          .nullable()
          .describe('null: not judged yet; true: every check so far has passed'),
        checkedAt: instant.nullable(),
        message: z.string(),
        content: z
          .object({
            state: z.enum(CONTENT_STATES),
            checkedAt: instant.nullable(),
            message: z.string(),
          })
          .nullable()
          .describe('the deep check, where QUIESCE_RESTORE_CHECK asks for it'),
        differences,
      })
      .nullable()
      .describe(
        'what the restored data may be called; null: no restore is known, or its report was ended',
      ),
    acknowledgedRestore: acknowledgedSchema
      .nullable()
      .describe('the restore that a person has accepted as it is'),
    lastReceipt: receiptSchema.nullable(),
    version: z.string().describe('the version of quiesce'),
  })
  .meta({ id: 'Status', description: 'State, lease, engine and the last receipt.' });
