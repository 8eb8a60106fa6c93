import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { query } from '../support/rig.ts';
import type { Finding, RunRecord } from './records.ts';
import type { World } from './world.ts';

/** Beyond the lease: the engine's evidence, tries to release, a restart of the sidecar. */
const BOUND_MS = 25_000;
const WRITABLE_WITHIN_MS = 15_000;
const CLEAN_WITHIN_MS = 8_000;

/** Waits until nothing is frozen; what is left open past lease and bound is a finding. */
export async function awaitThawed(world: World, leaseMs: number): Promise<Finding[]> {
  const deadline = performance.now() + leaseMs + BOUND_MS;
  for (;;) {
    const status = await world.sidecar.status();
    if (status?.state === 'thawed') return [];
    if (performance.now() > deadline) {
      const what = status ? `${status.state}, lease ${JSON.stringify(status.lease)}` : 'no answer';
      return [{ kind: 'stuck-freeze', what }];
    }
    await sleep(25);
  }
}

/** The real server takes a write, and the writers go on by themselves. */
export async function askWritable(world: World): Promise<Finding[]> {
  const deadline = performance.now() + WRITABLE_WITHIN_MS;
  const before = total(world);
  let why = 'the writers do not go on';
  for (;;) {
    try {
      await query(
        world.server,
        `SET statement_timeout = '5s'; INSERT INTO canary VALUES (now()); SELECT 1 AS one`,
      );
      if (total(world) > before) break;
    } catch (error) {
      why = (error as Error).message;
      await world.serve();
    }
    if (performance.now() > deadline) return [{ kind: 'not-writable', what: why }];
    await sleep(10);
  }
  return world.load.losses.map((what) => ({ kind: 'acknowledged-lost', what }));
}

function total(world: World): number {
  return world.load.snapshotAcked().upTo.reduce((sum, seq) => sum + seq, 0);
}

/** What a freeze must never leave behind, asked until it is gone or time is up. */
export async function askLeftovers(world: World): Promise<Finding[]> {
  const deadline = performance.now() + CLEAN_WITHIN_MS;
  for (;;) {
    const found = await leftovers(world).catch((error: unknown) => [
      `could not be asked: ${(error as Error).message}`,
    ]);
    if (found.length === 0) return [];
    if (performance.now() > deadline) return found.map((what) => ({ kind: 'left-behind', what }));
    await sleep(50);
  }
}

async function leftovers(world: World): Promise<string[]> {
  const { server, sidecar, evidence } = world;
  const { major, dataDir } = server.options;
  const found: string[] = [];
  const [row] = await query<{ slots: number; busy: number; sessions: number; open: boolean }>(
    server,
    `SELECT (SELECT count(*)::int FROM pg_replication_slots) AS slots,
            (SELECT count(*)::int FROM pg_stat_activity
              WHERE usename = 'quiesce' AND state <> 'idle') AS busy,
            (SELECT count(*)::int FROM pg_stat_activity WHERE usename = 'quiesce') AS sessions,
            ${major < 15 ? 'pg_is_in_backup()' : 'false'} AS open`,
  );
  if (!row || row.slots > 0) found.push(`${row?.slots} replication slots`);
  if (!row || row.busy > 0) found.push(`${row?.busy} sessions that are not idle`);
  // The monitor of the sidecar may be looking just now.
  if (!row || row.sessions > 1) found.push(`${row?.sessions} sessions`);
  if (!row || row.open) found.push('a backup that is open');
  for (const name of ['backup_label', 'tablespace_map']) {
    if (existsSync(join(dataDir, name))) found.push(`${name} in the live data directory`);
  }
  for (const name of await readdir(evidence)) found.push(`.quiesce/${name}`);
  for (const name of await readdir(sidecar.stateDir)) {
    if (!['receipts.json', 'lock.sock', 'probe'].includes(name)) found.push(`journal: ${name}`);
  }
  return found;
}

const ENDS_A_HOLD = ['kill-sidecar', 'term-sidecar', 'kill-backend', 'kill-server', 'stop-server'];
const ROLLED_BACK = ['freeze-timeout', 'freeze-failed', 'freeze-aborted', 'caller-gone'];

/**
 * What the calls claimed, against what is known from outside to have happened.
 *
 * @param heldAt when the hold was in the journal; it is in place since a little before.
 */
export function judgeClaims(
  record: RunRecord,
  plan: { ttlMs: number; id: string },
  heldAt: number | undefined,
): Finding[] {
  const found: Finding[] = [];
  const lie = (what: string): void => void found.push({ kind: 'false-success', what });
  const { calls, injected } = record;
  const thaws = calls.filter(({ verb, ok }) => verb === 'thaw' && ok);
  const freezes = calls.filter(({ verb, ok }) => verb === 'freeze' && ok);
  for (const thaw of thaws) {
    const id = thaw.receipt?.id;
    if (thaw.receipt?.verdict !== 'consistent') lie(`thaw ok, verdict ${thaw.receipt?.verdict}`);
    if (thaw.by === 'foreign-thaw') lie('a thaw with an id that was never frozen succeeded');
    if (thaw.by === 'main' && id !== plan.id && freezes.some(({ by }) => by === 'main')) {
      lie(`the thaw of ${plan.id} was answered with the success of ${id}`);
    }
    const own = freezes.filter(({ receipt }) => receipt?.id === id);
    if (thaw.id !== undefined && thaw.id !== id) lie(`thaw of ${thaw.id} answered with ${id}`);
    // Its caller was killed before it heard of the freeze; or without an id, and the answer a
    // repetition of the last one: its caller has been told that its own freeze failed.
    if (own.length === 0) continue;
    const called = Math.min(...calls.filter((c) => mayEnd(c, id)).map((c) => c.calledAt));
    const returned = Math.min(...own.map(({ returnedAt }) => returnedAt));
    const held = id === plan.id ? Math.min(heldAt ?? returned, returned) : returned;
    const leaseEnds = Math.max(...own.map(({ returnedAt }) => returnedAt)) + plan.ttlMs;
    if (called > leaseEnds) lie(`thawed ${(called - leaseEnds).toFixed(0)} ms after the lease`);
    for (const { kind, at } of injected) {
      if (at === 'missed' || !ENDS_A_HOLD.includes(kind)) continue;
      if (at > held && at < called) lie(`${kind} at ${at.toFixed(1)} ms, within the hold`);
    }
  }
  for (const freeze of freezes) {
    const { receipt } = freeze;
    if (receipt?.verdict !== 'held') lie(`freeze ok, verdict ${receipt?.verdict}`);
    const later = calls.find((c) => c.verb === 'thaw' && c.receipt?.id === receipt?.id);
    const undone = later?.receipt?.reasons.find((reason) => ROLLED_BACK.includes(reason));
    if (undone) lie(`freeze by ${freeze.by} succeeded, and was rolled back: ${undone}`);
  }
  return [...found, ...twoAtOnce(record)];
}

function mayEnd(call: RunRecord['calls'][number], id: string | undefined): boolean {
  return call.verb === 'thaw' && (call.id === undefined || call.id === id);
}

/** Two freezes that both claim to have held cannot have been held at the same moment. */
function twoAtOnce({ calls }: RunRecord): Finding[] {
  const spans = calls
    .filter(({ verb, ok }) => verb === 'thaw' && ok)
    .flatMap(({ receipt, calledAt }) => {
      const began = calls.find((c) => c.verb === 'freeze' && c.ok && c.receipt?.id === receipt?.id);
      return began ? [{ id: receipt?.id, from: began.returnedAt, to: calledAt }] : [];
    });
  const crossed = spans.some((a) =>
    spans.some((b) => a.id !== b.id && a.from < b.to && b.from < a.to),
  );
  return crossed ? [{ kind: 'false-success', what: 'two freezes held at the same time' }] : [];
}

/** Copies carry the receipt where they were cut inside, and only there. */
export function judgeCopies(
  record: RunRecord,
  plan: { ttlMs: number; id: string },
  endedAt: number | undefined,
): Finding[] {
  const { calls, copies, injected } = record;
  const freeze = calls.find(({ verb, by, ok }) => verb === 'freeze' && by === 'main' && ok);
  const frozenAgain = calls.some((c) => c.verb === 'freeze' && c.by !== 'main' && c.ok);
  const declared = calls.some((c) => c.receipt?.reasons.includes('receipt-not-removed'));
  const ends = [
    ...calls.filter(({ verb }) => verb === 'thaw').map(({ calledAt }) => calledAt),
    ...injected.flatMap(({ kind, at }) =>
      // A server that finds its volume full ends by itself.
      at !== 'missed' && [...ENDS_A_HOLD, 'volume-full'].includes(kind) ? [at] : [],
    ),
    (freeze?.calledAt ?? 0) + plan.ttlMs,
  ];
  return copies.flatMap(({ begunAt, endedAt: cutAt, carries }): Finding[] => {
    const inside = freeze && begunAt > freeze.returnedAt && cutAt < Math.min(...ends);
    if (inside && freeze.receipt?.evidence.onVolume === true && carries !== plan.id) {
      return [{ kind: 'evidence', what: `a copy cut inside carries ${carries}` }];
    }
    const outside = endedAt !== undefined && begunAt > endedAt && !frozenAgain && !declared;
    if (outside && carries !== null) {
      return [{ kind: 'evidence', what: `a copy cut after the end carries ${carries}` }];
    }
    return [];
  });
}
