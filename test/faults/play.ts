import { judgeSuccesses } from './successes.ts';
import { askLeftovers, askWritable, awaitThawed, judgeCopies, judgeStillness } from './judge.ts';
import type { Injected } from './inject.ts';
import type { Plan } from './plan.ts';
import { type Finding, successfulThaws } from './records.ts';
import { restoreCopies } from './restore.ts';
import { Scenario } from './scenario.ts';
import { RunLog } from './run-log.ts';
import type { Rig } from './rig.ts';

/** The result of one run. */
export interface RunResult {
  readonly run: number;
  readonly mode: string;
  readonly injected: readonly Injected[];
  readonly calls: readonly string[];
  /** The outcome of the main backup's freeze and thaw. */
  readonly outcome: 'consistent' | 'inconsistent' | 'not-frozen';
  readonly copies: number;
  readonly restored: number;
  readonly refused: number;
  /** Successes that thaws reported. */
  readonly told: number;
  /** Successes for copies cut outside of the hold that a known limit excuses. */
  readonly excused: number;
  readonly findings: readonly Finding[];
  readonly ms: number;
  /** Events in order, the sidecar's log and the end of the server's. */
  readonly log: string;
}

/** Plays one run and judges it. Afterwards the rig is usable again, unless there is a finding. */
export async function play(rig: Rig, run: number, plan: Plan): Promise<RunResult> {
  const begun = performance.now();
  const { mode } = rig;
  const log = new RunLog();
  log.note(JSON.stringify(plan));
  rig.log = log;
  rig.sidecar.log = [];
  rig.disks.evidenceLost = false;
  rig.troubles.length = 0;
  const scenario = new Scenario(rig, plan, log);
  const findings: Finding[] = [];
  let [restored, refused, excused] = [0, 0, 0];
  try {
    await scenario.play();
    log.note('all faults are over; the judges start');
    await rig.heal();
    findings.push(...(await askWritable(rig)));
    findings.push(...(await endAll(rig, scenario, plan)));
    await rig.ready();
    const ended = await scenario.readRecord();
    const { record } = scenario;
    const frozenAt = log.at('freeze returned') ?? Infinity;
    // The observed steps of several freezes cannot be attributed to one of them.
    const excuse = (text: string): void => {
      excused += 1;
      log.note(text);
    };
    const alone = log.all('freeze requested').length === 1;
    const journaled = log.lastAt('journal rewritten', log.at('frozen') ?? frozenAt);
    const known = { heldAt: alone ? journaled : undefined, excuse };
    findings.push(...rig.troubles.map((what): Finding => ({ kind: 'two-sidecars', what })));
    findings.push(...judgeSuccesses(record, mode, known));
    const endedAt = alone ? log.at('freeze ended') : undefined;
    findings.push(...judgeCopies(record, ended, plan, mode, endedAt));
    findings.push(...judgeStillness(record, plan, mode));
    findings.push(...(await askLeftovers(rig, ended)));
    const hit = record.injected.some(({ at }) => at !== 'missed');
    const vouched = record.calls.some(({ verb, ok }) => verb === 'thaw' && ok);
    const slow = record.calls.some(({ outcome }) => outcome.includes('TIMEOUT'));
    if (!hit && isUndisturbed(plan) && !vouched && !slow) {
      findings.push({ kind: 'calm-failure', what: 'nothing was wrong, and the thaw failed' });
    }
    if (plan.restore || findings.length > 0 || (hit && vouched)) {
      const all = await restoreCopies(rig, record);
      findings.push(...all.findings);
      [restored, refused] = [all.done, all.refused];
    }
  } catch (error) {
    findings.push({ kind: 'harness', what: (error as Error).stack ?? String(error) });
  } finally {
    await scenario.close();
    await cleanUp(rig, log, scenario.record.calls);
  }
  const { record } = scenario;
  for (const { copy } of record.copies) await rig.database.drop(copy).catch(() => undefined);
  const main = record.calls.filter(({ by }) => by === 'main');
  const outcome = main.some(({ verb, ok }) => verb === 'thaw' && ok)
    ? 'consistent'
    : main.some(({ verb, ok }) => verb === 'freeze' && ok)
      ? 'inconsistent'
      : 'not-frozen';
  for (const finding of findings) log.note(`FINDING ${finding.kind}: ${finding.what}`);
  const sidecar = `\nThe sidecar's log:\n${rig.sidecar.log.join('\n')}\n`;
  const server = `\nThe end of the server's log:\n${rig.database.log()}\n`;
  return {
    run,
    mode: plan.mode,
    injected: record.injected,
    calls: [
      ...plan.calls.map(({ kind }) => kind),
      ...(plan.thaw === 'in-time' ? [] : [`${plan.thaw}-thaw`]),
      ...plan.others.map(({ wait }) => (wait ? 'other that waits' : 'other')),
    ],
    outcome,
    copies: record.copies.length,
    restored,
    refused,
    told: successfulThaws(record).length,
    excused,
    findings,
    ms: performance.now() - begun,
    log: log.text + sidecar + server,
  };
}

/**
 * Makes the runs independent of each other. Whatever a late fault has stopped runs again, and no thaw is
 * expected any more: otherwise a thaw without an id would prove nothing in the next run.
 */
async function cleanUp(
  rig: Rig,
  log: RunLog,
  freezes: readonly { readonly id: string | undefined }[],
): Promise<void> {
  const { sidecar } = rig;
  try {
    await rig.ready();
    const { body } = await sidecar.api('GET', '/v1/receipts');
    const receipts = body['receipts'] as readonly { readonly id: string }[];
    const ids = new Set([...receipts.map(({ id }) => id), ...freezes.map(({ id }) => id)]);
    for (const id of ids) await sidecar.api('POST', '/v1/thaw', id === undefined ? {} : { id });
    // Each thaw without an id counts for one expected thaw.
    for (const _ of freezes) await sidecar.api('POST', '/v1/thaw', {});
  } catch (error) {
    log.note(`not cleaned up: ${String(error)}`);
  }
}

function isUndisturbed(plan: Plan): boolean {
  const alone = plan.calls.length === 0 && plan.others.length === 0;
  return plan.thaw === 'in-time' && alone && plan.ttlMs > 2_000;
}

/** Ends all freezes, including those that start when another one ends. */
async function endAll(rig: Rig, scenario: Scenario, plan: Plan): Promise<readonly Finding[]> {
  for (let seen = -1; seen !== scenario.actions;) {
    seen = scenario.actions;
    // Leases of about a second expire; longer ones are ended here.
    if (longest(plan) > 2_000) await scenario.calls.bySocket({ verb: 'abandon', by: 'end' });
    const stuck = await awaitThawed(rig, longest(plan));
    if (stuck.length > 0) return stuck;
    await scenario.waitUntilIdle();
    await rig.heal();
  }
  return [];
}

function longest({ ttlMs, others }: Plan): number {
  return Math.max(ttlMs, ...others.map((other) => other.ttlMs));
}
