import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { RestoreRun } from '../../../src/cluster/restore/document.ts';
import type { Ran } from '../run.ts';
import { quiesce } from './group-run.ts';
import type { Stage } from './stage.ts';

export interface Restored {
  readonly ran: Ran;
  /** `undefined` if it printed none, after an error. */
  readonly run: RestoreRun | undefined;
}

const WITHIN_MS = 900_000;

/** One `quiesce restore -o json`. */
export async function restore(stage: Stage, args: readonly string[]): Promise<Restored> {
  const ran = await quiesce(stage, ['restore', ...args, '-o', 'json'], { timeoutMs: WITHIN_MS });
  try {
    const run = JSON.parse(ran.stdout) as RestoreRun;
    return { ran, run: run.kind === 'RestoreRun' ? run : undefined };
  } catch {
    return { ran, run: undefined };
  }
}

/** A run that is proven, with all of its layers healthy, one after the other. */
export function judgeRestored(stage: Stage, what: string, { ran, run }: Restored): RestoreRun {
  const seen = { exit: ran.status, verdict: run?.verdict, problems: run?.problems };
  stage.equal(`${what} is proven`, seen, { exit: 0, verdict: 'proven', problems: [] });
  if (run === undefined) throw new Error(`${what}: ${ran.stderr.slice(-1_000)}`);
  const early = run.layers.filter(({ startedAt }, index) => {
    const before = run.layers[index - 1];
    return before !== undefined && (startedAt ?? '') < (before.healthyAt ?? '~');
  });
  stage.equal(`${what}: no layer began before the one below it was healthy`, early, []);
  return run;
}

/** Starts a restore as a person would, and ends it with SIGKILL. */
export async function killedWhen(
  stage: Stage,
  args: readonly string[],
  when: () => Promise<unknown>,
): Promise<void> {
  const child = spawn(process.execPath, ['dist/cli.js', 'restore', ...args], {
    env: { ...process.env, ...stage.tools.env },
    stdio: 'ignore',
  });
  const ended = once(child, 'close');
  try {
    await when();
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** The id of the run that restores into a namespace. */
export async function runIn(stage: Stage, namespace: string): Promise<string> {
  const { items } = await stage.tools.get<{
    items: readonly { metadata: { labels: Record<string, string>; creationTimestamp: string } }[];
  }>('configmaps', '-n', namespace, '-l', 'quiesce.dev/report=restore');
  const newest = items.toSorted((a, b) =>
    b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp),
  )[0];
  return newest?.metadata.labels['quiesce.dev/run'] ?? '';
}
