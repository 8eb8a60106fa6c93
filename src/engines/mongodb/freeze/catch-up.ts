import { QuiesceError } from '../../../errors.ts';
import { abortedWithin, lookUntil } from '../../../lib/deadline.ts';
import type { FreezeContext } from '../../engine.ts';
import { readSet, type SetView } from './replica-set.ts';
import { compareOpTimes, formatOpTime, type OpTime } from '../optime.ts';
import { readHello, type ServerFacts } from '../server.ts';
import { Session } from '../connection/session.ts';
import type { MongoSettings } from '../connection/settings.ts';

const ASK_AGAIN_AFTER_MS = 100;
const PRIMARY_WITHIN_MS = 3_000;

/** The primary's last write when the freeze began. */
export interface PrimaryPoint {
  readonly primary: string;
  readonly opTime: OpTime;
  /** `asked`: the primary itself reported it; `heartbeat`: a heartbeat after the freeze began did. */
  readonly how: 'asked' | 'heartbeat';
}

/**
 * Reads the primary's last write. Asks the primary itself, without credentials. If it cannot be reached
 * from here, waits for the next heartbeat between the members, which carries the same.
 *
 * @throws QuiesceError ENGINE_BEHIND where the set has no primary.
 */
export async function readPrimaryPoint(
  session: Session,
  settings: MongoSettings,
  server: ServerFacts,
  signal: AbortSignal,
): Promise<PrimaryPoint> {
  const { primary } = server;
  if (primary === undefined) {
    throw new QuiesceError(
      'ENGINE_BEHIND',
      `The set ${server.setName} has no primary, so this secondary may lack acknowledged writes.`,
    );
  }
  const asked = await askPrimary(settings, primary, signal);
  if (asked !== undefined) return { primary, opTime: asked, how: 'asked' };
  const since = new Date();
  const look = async (): Promise<PrimaryPoint | undefined> => {
    const view = await readSet(session, signal);
    const member = view.members.find((one) => one.state === 'PRIMARY');
    // The server stamps heartbeats with its own clock, which is this machine's.
    return member?.opTime && member.heartbeatAt !== undefined && member.heartbeatAt > since
      ? { primary: member.host, opTime: member.opTime, how: 'heartbeat' }
      : undefined;
  };
  return await lookUntil(look, ASK_AGAIN_AFTER_MS, signal);
}

async function askPrimary(
  settings: MongoSettings,
  primary: string,
  signal: AbortSignal,
): Promise<OpTime | undefined> {
  const soon = abortedWithin(PRIMARY_WITHIN_MS, signal);
  let other: Session | undefined;
  try {
    other = await Session.open({ settings, member: primary, anonymous: true }, soon);
    const hello = await readHello(other, soon);
    return hello.role === 'primary' ? hello.opTime : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined;
  } finally {
    await other?.close();
  }
}

/** Waits until this member has the primary's writes up to `point`. Ends only by success or by the signal. */
export async function waitForPoint(
  session: Session,
  point: PrimaryPoint,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<void> {
  const look = async (): Promise<true | undefined> => {
    const { opTime } = await readHello(session, signal);
    if (opTime !== undefined && compareOpTimes(opTime, point.opTime) >= 0) return true;
    const at = opTime === undefined ? 'no position' : formatOpTime(opTime);
    context.progress(
      `waiting for this secondary to reach ${formatOpTime(point.opTime)} of ${point.primary}; it is at ${at}`,
    );
    return undefined;
  };
  await lookUntil(look, ASK_AGAIN_AFTER_MS, signal);
}

/**
 * Waits, under the lock, until a majority has every write of this member. Before that, a restored copy
 * may hold writes that the set itself could still roll back.
 *
 * @returns the majority's position. Ends only by success or by the signal.
 */
export async function waitForMajority(
  session: Session,
  promised: OpTime,
  view: SetView,
  signal: AbortSignal,
): Promise<OpTime> {
  const voters = view.members.filter(({ votes }) => votes > 0);
  // A single voter is the majority, and the lock has written everything to its disk. 4.4 does not
  // advance its majority point under the lock (measured).
  if (voters.length === 1 && voters[0]?.self === true) return promised;
  const look = async (): Promise<OpTime | undefined> => {
    const { majorityOpTime } = await readHello(session, signal);
    return majorityOpTime !== undefined && compareOpTimes(majorityOpTime, promised) >= 0
      ? majorityOpTime
      : undefined;
  };
  return await lookUntil(look, ASK_AGAIN_AFTER_MS / 2, signal);
}

/** Finds which of the other voting members are locked; `unknown`: those that could not be asked. */
export async function findLocked(
  settings: MongoSettings,
  view: SetView,
  signal: AbortSignal,
): Promise<{ readonly locked: ReadonlySet<string>; readonly unknown: readonly string[] }> {
  const locked = new Set<string>();
  const unknown: string[] = [];
  const others = view.members.filter(
    (one) => !one.self && one.healthy && !one.arbiter && one.votes > 0,
  );
  const soon = abortedWithin(PRIMARY_WITHIN_MS, signal);
  await Promise.all(
    others.map(async ({ host }) => {
      let other: Session | undefined;
      try {
        other = await Session.open({ settings, member: host, anonymous: false }, soon);
        const answer = await other.admin({ currentOp: 1, desc: 'none' }, 'ask for a lock', soon);
        if (answer['fsyncLock'] === true) locked.add(host);
      } catch {
        unknown.push(host);
      } finally {
        await other?.close();
      }
    }),
  );
  signal.throwIfAborted();
  return { locked, unknown };
}
