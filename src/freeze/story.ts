import type { FreezeRun } from './run.ts';

/** What a line of the log tells of a freeze; `engine` itself stands in every line already. */
export function story(run: FreezeRun): Record<string, unknown> {
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
