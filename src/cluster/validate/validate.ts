import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectApi, SNAPSHOTS } from '../api/objects.ts';
import type { PodConnection } from '../api/reader.ts';
import { labelsOf } from '../objects/kube-object.ts';
import { ClusterHealth } from '../health/health.ts';
import { judge } from '../health/judge.ts';
import type { MemberState } from '../health/state.ts';
import type { Planned } from '../plan/plan.ts';
import { RUN_LABELS } from '../run/names.ts';
import type { ValidatedMember, ValidationRun } from './document.ts';
import { checkLinks } from './links.ts';
import { checkOwn } from './own-checks.ts';
import { restartsOf } from './restarts.ts';
import { problemsOf, verdictOf } from './verdict.ts';

export interface ValidateOptions {
  /** A container that has restarted within this time loops. */
  readonly restartsWithinMs: number;
  progress(sentence: string): void;
}

/**
 * Looks whether the application that runs is whole. Changes nothing.
 *
 * @throws QuiesceError CLUSTER_UNREACHABLE, FORBIDDEN
 */
export async function validate(
  connection: PodConnection,
  { plan, members }: Planned,
  options: ValidateOptions,
  signal: AbortSignal,
): Promise<ValidationRun> {
  const startedAt = new Date().toISOString();
  const health = new ClusterHealth(connection);
  options.progress(`looking at ${members.length} members`);
  const scene = await health.scene(members, signal);
  const states = judge(scene, members);
  options.progress('trying the links between them');
  const [links, checks, runs] = await Promise.all([
    checkLinks(connection, members, scene.catalog, signal),
    checkOwn(connection, members, scene.catalog, signal),
    runsOnRecord(connection, plan.namespaces),
  ]);
  const restarts = restartsOf(scene, members, options.restartsWithinMs);
  const problems = problemsOf({ members, states, links, checks, restarts });
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'ValidationRun',
    group: plan.group,
    namespaces: plan.namespaces,
    verdict: verdictOf(problems),
    members: states.map((state, index) => memberOf(state, members[index]?.engine, runs)),
    links,
    checks,
    problems,
    startedAt,
    endedAt: new Date().toISOString(),
  };
}

const AGAIN_AFTER_MS = 3_000;

/** Validates until nothing is broken, the time is up, or waiting is in vain. @returns the last look */
export async function validateUntilWhole(
  look: () => Promise<ValidationRun>,
  signal: AbortSignal,
  everyMs = AGAIN_AFTER_MS,
): Promise<ValidationRun> {
  for (;;) {
    const run = await look();
    const inVain = run.members.some((one) => one.causes.some(({ passing }) => !passing));
    if (run.verdict !== 'failed' || inVain) return run;
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return run;
  }
}

/** The runs whose snapshots are here; `undefined`: nobody may read them, or there is no such API. */
async function runsOnRecord(
  connection: PodConnection,
  namespaces: readonly string[],
): Promise<ReadonlySet<string> | undefined> {
  try {
    const found = await new ObjectApi(connection).listIn(SNAPSHOTS, namespaces, RUN_LABELS.run);
    return new Set(found.flatMap((one) => labelsOf(one)[RUN_LABELS.run] ?? []));
  } catch {
    return undefined;
  }
}

function memberOf(
  state: MemberState,
  engine: string | undefined,
  runs: ReadonlySet<string> | undefined,
): ValidatedMember {
  const { member, ready, level, message, receipts, causes } = state;
  const onRecord = receipts.filter((id) => runs?.has(id) === true);
  return {
    ...member,
    ...(engine !== undefined && { engine }),
    ready,
    ...(level !== undefined && { level }),
    ...(message !== undefined && { message }),
    receipts,
    ...(runs !== undefined && receipts.length > 0 && { onRecord }),
    causes,
  };
}
