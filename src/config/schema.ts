import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { durationProblem, parseDuration, writeDuration } from '../lib/duration.ts';
import { isInside } from '../lib/paths.ts';
import { REPLICA_MODES } from '../engines/engine.ts';
import { COPY_METHODS } from '../receipt/receipt.ts';
import { RESTORE_CHECKS } from '../receipt/restore-level.ts';
import { RESTORE_MARK } from '../receipt/restore-mark.ts';
import * as defaults from '../defaults.ts';
import type { ConfigIssue } from './sources.ts';

/** An address to listen on. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

function oneOf<const T extends string>(values: readonly T[]) {
  return z.enum(values, {
    error: (issue) =>
      issue.input === undefined
        ? `is required: one of ${values.join(', ')}`
        : `must be one of ${values.join(', ')}`,
  });
}

const duration = z.string().transform((text, context) => {
  const message = durationProblem(text);
  if (message === undefined) return parseDuration(text) ?? z.NEVER;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const path = z
  .string()
  .refine((text) => isAbsolute(text) && !text.includes('\0'), 'must be an absolute path');

const address = z.string().transform((text, context): Address | null => {
  if (text === 'off') return null;
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] !== undefined && port <= 65_535) {
    return { host: match[1].replace(/^\[|\]$/g, ''), port };
  }
  context.addIssue({ code: 'custom', message: 'must be host:port or off' });
  return z.NEVER;
});

const loopback = address.refine(
  (found) => found === null || /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/.test(found.host),
  'must be a loopback address: any client that reaches it can freeze the database',
);

/** Every key of the sidecar, with its default and its bounds. */
export function baseSchema(engines: readonly string[]) {
  return z.object({
    QUIESCE_ENGINE: oneOf(engines),
    QUIESCE_DATA_DIR: path.optional(),
    QUIESCE_STATE_DIR: path.default(defaults.STATE_DIR),
    QUIESCE_SOCKET: path
      .refine(
        (text) => Buffer.byteLength(text) <= defaults.LONGEST_SOCKET_PATH,
        `must not be longer than ${defaults.LONGEST_SOCKET_PATH} bytes`,
      )
      .default(defaults.CONTROL_SOCKET),
    QUIESCE_CONTROL_ADDR: loopback.prefault(defaults.CONTROL_ADDRESS),
    QUIESCE_METRICS_ADDR: address.prefault(defaults.METRICS_ADDRESS),
    QUIESCE_COPY: oneOf(COPY_METHODS).default(defaults.COPY),
    QUIESCE_REPLICA: oneOf(REPLICA_MODES).default('run'),
    QUIESCE_TTL: duration.optional(),
    QUIESCE_TTL_MAX: duration.prefault(writeDuration(defaults.TTL_MAX_MS)),
    QUIESCE_FREEZE_TIMEOUT: duration.prefault(writeDuration(defaults.FREEZE_TIMEOUT_MS)),
    QUIESCE_CONTROL_TOKEN: z
      .string()
      .regex(/^[\u0021-\u007E]{1,512}$/, 'must be 1–512 visible ASCII characters')
      .optional(),
    QUIESCE_APP: z
      .string()
      .regex(/^[\u0020-\u007E]{1,128}$/, 'must be 1–128 printable ASCII characters')
      .optional(),
    QUIESCE_RESTORE_MARK: z.string().regex(RESTORE_MARK.pattern, RESTORE_MARK.form).optional(),
    QUIESCE_RESTORE_CHECK: oneOf(RESTORE_CHECKS).default('position'),
    QUIESCE_LOG_LEVEL: oneOf(defaults.LOG_LEVELS).default(defaults.LOG_LEVEL),
  });
}

/** The keys that are checked together. A key that could not be parsed is absent. */
export interface Values {
  readonly QUIESCE_DATA_DIR?: unknown;
  readonly QUIESCE_STATE_DIR?: unknown;
  readonly QUIESCE_CONTROL_ADDR?: unknown;
  readonly QUIESCE_METRICS_ADDR?: unknown;
  readonly QUIESCE_TTL?: unknown;
  readonly QUIESCE_TTL_MAX?: unknown;
}

/** Checks keys that must agree with one another. Ignores keys that could not be parsed. */
export function checkTogether(values: Values): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const ttl = values.QUIESCE_TTL as number | undefined;
  const most = values.QUIESCE_TTL_MAX as number | undefined;
  if (ttl !== undefined && most !== undefined && ttl > most) {
    issues.push({ name: 'QUIESCE_TTL', message: 'must not be longer than QUIESCE_TTL_MAX' });
  }
  const control = values.QUIESCE_CONTROL_ADDR as Address | null | undefined;
  const metrics = values.QUIESCE_METRICS_ADDR as Address | null | undefined;
  if (control && metrics && control.port !== 0 && control.port === metrics.port) {
    const message = 'must not have the port of QUIESCE_CONTROL_ADDR';
    issues.push({ name: 'QUIESCE_METRICS_ADDR', message });
  }
  // A journal on the data volume would be in every copy, and a sidecar of a restored copy would take it
  // for its own.
  const data = values.QUIESCE_DATA_DIR as string | undefined;
  const state = values.QUIESCE_STATE_DIR as string | undefined;
  if (data !== undefined && state !== undefined && isInside(state, data)) {
    issues.push({ name: 'QUIESCE_STATE_DIR', message: 'must not be inside QUIESCE_DATA_DIR' });
  }
  return issues;
}
