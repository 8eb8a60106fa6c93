import { type Ran, type RunOptions, tryRun } from '../run.ts';
import type { Stage } from './stage.ts';

/** A run as `quiesce snapshot -o json` prints it, as far as stories read it. */
export interface RunSeen {
  readonly id: string;
  readonly verdict: 'proven' | 'unproven' | 'failed';
  readonly together?: { readonly kind: 'exact' | 'complete-to'; readonly at: string };
  readonly members: readonly {
    readonly kind: string;
    readonly name: string;
    readonly receipts: readonly { readonly pod: string; readonly receipt?: ReceiptOfRun }[];
    readonly snapshots: readonly SnapshotSeen[];
    readonly problems: readonly { readonly code: string; readonly message: string }[];
  }[];
  readonly problems: readonly { readonly code: string; readonly message: string }[];
  readonly freezeSpreadMs: number;
  /** By the clock of the command. */
  readonly startedAt: string;
}

export interface SnapshotSeen {
  readonly namespace: string;
  readonly name: string;
  readonly claim: string;
  readonly ready: boolean;
  /** By the clock of the storage. */
  readonly cutAt?: string;
}

interface ReceiptOfRun {
  readonly id: string;
  readonly verdict: string;
  readonly requestedAt: string;
  readonly thawedAt: string | null;
}

/** The command line of this checkout, as a person runs it on a machine outside of the cluster. */
export async function quiesce(
  stage: Stage,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const env = { ...stage.tools.env, ...options.env };
  return await tryRun(process.execPath, ['dist/cli.js', ...args], { ...options, env });
}

/** One `quiesce snapshot -o json`. `run` is `undefined` if it printed none, after an error. */
export async function snapshot(
  stage: Stage,
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ readonly ran: Ran; readonly run: RunSeen | undefined }> {
  const ran = await quiesce(stage, ['snapshot', ...args, '-o', 'json'], options);
  return { ran, run: parsed(ran.stdout) };
}

function parsed(text: string): RunSeen | undefined {
  try {
    const found = JSON.parse(text) as { kind?: string } & RunSeen;
    return found.kind === 'SnapshotRun' ? found : undefined;
  } catch {
    return undefined;
  }
}

/** The run is proven, and the command says so by its exit code. @throws Error where it made no run */
export function judgeProven(
  stage: Stage,
  what: string,
  { ran, run }: Awaited<ReturnType<typeof snapshot>>,
): RunSeen {
  const problems = [
    ...(run?.problems ?? []),
    ...(run?.members.flatMap((member) => member.problems) ?? []),
  ];
  const seen = { exit: ran.status, verdict: run?.verdict };
  const ok = ran.status === 0 && run?.verdict === 'proven';
  stage.expect(`${what}: proven`, ok, { ...seen, problems, said: saidBy(ran, run) });
  if (run === undefined) throw new Error(`${what}: no run was printed: ${saidBy(ran, run)}`);
  return run;
}

/** An error of `-o json` is on stdout. */
function saidBy({ stdout, stderr }: Ran, run: RunSeen | undefined): string {
  return `${stderr.slice(-600)} ${run === undefined ? stdout.slice(-600) : ''}`.trim();
}

/** When the first freeze of a run was asked for, by the clocks of its sidecars. */
export function freezeCalledAt({ members }: RunSeen): Date {
  const times = members.flatMap(({ receipts }) =>
    receipts.flatMap(({ receipt }) => (receipt ? [Date.parse(receipt.requestedAt)] : [])),
  );
  return new Date(Math.min(...times));
}
