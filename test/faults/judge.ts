import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../src/receipt/receipt.ts';
import type { FaultMode } from './engine.ts';
import type { Plan } from './plan.ts';
import { type Finding, isSameHold, type RunRecord } from './records.ts';
import type { Rig } from './rig.ts';

/** Time beyond the lease for the engine's evidence, attempts to release and a restart of the sidecar. */
const BOUND_MS = 25_000;
const WRITABLE_WITHIN_MS = 15_000;
const CLEAN_WITHIN_MS = 8_000;
/** On a busy machine writers may wait this long without a hold. */
const STILL_AT_MOST_MS = 5_000;

/** Waits until nothing is frozen. A freeze still open after lease and bound is a finding. */
export async function awaitThawed(rig: Rig, leaseMs: number): Promise<Finding[]> {
  const deadline = performance.now() + leaseMs + BOUND_MS;
  for (;;) {
    const status = await rig.sidecar.status();
    if (status?.state === 'thawed') return [];
    if (performance.now() > deadline) {
      const what = status ? `${status.state}, lease ${JSON.stringify(status.lease)}` : 'no answer';
      return [{ kind: 'stuck-freeze', what }];
    }
    // A server may stop on its own some time after a crash.
    await rig.database.serve();
    await sleep(25);
  }
}

/** Checks that the server accepts a write and that the writers continue. */
export async function askWritable({ database }: Rig): Promise<Finding[]> {
  const deadline = performance.now() + WRITABLE_WITHIN_MS;
  const before = database.writes();
  let why = 'the writers do not continue';
  for (;;) {
    try {
      await database.write();
      if (database.writes() > before) break;
    } catch (error) {
      why = (error as Error).message;
      await database.serve();
    }
    if (performance.now() > deadline) return [{ kind: 'not-writable', what: why }];
    await sleep(10);
  }
  return database.losses().map((what) => ({ kind: 'acknowledged-lost', what }));
}

/** Checks that writers stood still for no longer than the lease, or not at all in modes that block no writers. */
export function judgeStillness(
  { injected, stillMs }: RunRecord,
  { ttlMs, faults, calls, others }: Plan,
  mode: FaultMode,
): Finding[] {
  const hit = new Set(injected.filter(({ at }) => at !== 'missed').map(({ kind }) => kind));
  if (mode.stallsWriters.some((kind) => hit.has(kind))) return [];
  // A renewal restarts the lease; a sidecar that is stopped or cut off ends it when it wakes.
  const leases = 1 + calls.filter(({ kind }) => /freeze|renew/.test(kind)).length;
  const othersMs = others.reduce((sum, other) => sum + other.ttlMs, 0);
  const asleep = faults.reduce((sum, { lastsMs }) => sum + lastsMs, 0);
  const held = mode.blocksWriters ? leases * ttlMs + othersMs + asleep : 0;
  if (stillMs <= held + STILL_AT_MOST_MS) return [];
  const what = `no write was acknowledged for ${stillMs.toFixed(0)} ms with a lease of ${ttlMs} ms`;
  return [{ kind: 'not-writable', what }];
}

/** Waits until nothing is left behind by a freeze. Whatever is left when time is up is a finding. */
export async function askLeftovers(rig: Rig, ended: readonly Receipt[]): Promise<Finding[]> {
  const deadline = performance.now() + CLEAN_WITHIN_MS;
  for (;;) {
    const found = await leftovers(rig, ended).catch(async (error: unknown) => {
      // A server may stop on its own some time after a crash.
      await rig.database.serve();
      return [`could not be checked: ${(error as Error).message}`];
    });
    if (found.length === 0) return [];
    if (performance.now() > deadline) return found.map((what) => ({ kind: 'left-behind', what }));
    await sleep(50);
  }
}

async function leftovers(
  { database, sidecar, evidence }: Rig,
  ended: readonly Receipt[],
): Promise<string[]> {
  const found = [...(await database.leftovers(ended))];
  // `.quiesce/` may have been removed by a fault; another sidecar may have verified a copy and left its result.
  const names = await readdir(evidence).catch((): string[] => []);
  for (const name of names) {
    if (name !== 'claim' && !name.startsWith('restored-')) found.push(`.quiesce/${name}`);
  }
  for (const name of await readdir(sidecar.stateDir)) {
    if (!['receipts.json', 'lock.sock', 'probe'].includes(name)) found.push(`journal: ${name}`);
  }
  return found;
}

/**
 * Checks that copies carry the receipt if they were cut during the hold, and only then.
 *
 * @param ended receipts that the sidecar keeps: a verdict may have reached no caller
 */
export function judgeCopies(
  record: RunRecord,
  ended: readonly Receipt[],
  plan: { readonly ttlMs: number },
  { endsHold }: FaultMode,
  endedAt: number | undefined,
): Finding[] {
  const { calls, copies, injected } = record;
  const freeze = calls.find(({ verb, by, ok }) => verb === 'freeze' && by === 'main' && ok);
  const frozenAgain = calls.some((c) => c.verb === 'freeze' && c.by !== 'main' && c.ok);
  const verdicts = [...ended, ...calls.map(({ receipt }) => receipt)];
  const declared = verdicts.some((receipt) => receipt?.reasons.includes('receipt-not-removed'));
  const ends = [
    ...calls.filter(({ verb }) => verb !== 'freeze').map(({ calledAt }) => calledAt),
    ...injected.flatMap(({ kind, at }) =>
      // A server that finds its volume full stops.
      at !== 'missed' && [...endsHold, 'volume-full', 'evidence-removed'].includes(kind)
        ? [at]
        : [],
    ),
    (freeze?.calledAt ?? 0) + plan.ttlMs,
  ];
  return copies.flatMap(({ begunAt, endedAt: cutAt, carries }): Finding[] => {
    const inside = freeze && begunAt > freeze.returnedAt && cutAt < Math.min(...ends);
    if (
      inside &&
      freeze.receipt?.evidence.onVolume === true &&
      !isSameHold(carries, freeze.receipt)
    ) {
      return [{ kind: 'evidence', what: `a copy cut inside carries ${carries?.id}` }];
    }
    const outside = endedAt !== undefined && begunAt > endedAt && !frozenAgain && !declared;
    if (outside && carries !== null) {
      return [{ kind: 'evidence', what: `a copy cut after the end carries ${carries.id}` }];
    }
    return [];
  });
}
