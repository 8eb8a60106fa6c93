import type { FreezeRun } from './freeze-run.ts';

/** The log fields of a freeze. Every line has `engine` already. */
export function logFields(run: FreezeRun): Record<string, unknown> {
  const { mode, copy, engine, durationsMs, position, expiresAt } = run.receipt;
  const { version, role, identity } = engine;
  return {
    freeze: run.id,
    by: run.by,
    server: { version, role, ...identity },
    mode,
    copy,
    durationsMs,
    position,
    expiresAt,
  };
}
