import { QuiesceError } from '../../../errors.ts';
import { lookUntil } from '../../../lib/deadline.ts';
import type { FreezeContext } from '../../engine.ts';
import { readSet, type SetView } from './replica-set.ts';
import { compareOpTimes, formatOpTime, type OpTime } from '../optime.ts';
import { readHello, type ServerFacts } from '../server.ts';
import { Session } from '../connection/session.ts';
import type { MongoSettings } from '../connection/settings.ts';

const ASK_AGAIN_AFTER_MS = 100;
const PRIMARY_WITHIN_MS = 3_000;

/** What the primary had written when the freeze began. */
export interface PrimaryPoint {
  readonly primary: string;
  readonly opTime: OpTime;
  /** `asked`: the primary itself said so; `heartbeat`: the last heartbeat after the freeze began did. */
  readonly how: 'asked' | 'heartbeat';
}

/**
 * What the primary has written by now. It is asked itself, without credentials; where it cannot be
 * reached from here, the next heartbeat between the members tells it.
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
      `The set ${server.setName} has no primary, so what this secondary lacks cannot be known.`,
    );
  }
  const asked = await askPrimary(settings, primary, signal);
  if (asked !== undefined) return { primary, opTime: asked, how: 'asked' };
  const since = new Date();
  const look = async (): Promise<PrimaryPoint | undefined> => {
    const view = await readSet(session, signal);
    const member = view.members.find((one) => one.state === 'PRIMARY');
    // The server's own clock stamps a heartbeat: it runs on this machine or pod.
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
  const soon = AbortSignal.any([signal, AbortSignal.timeout(PRIMARY_WITHIN_MS)]);
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

/** Waits until this member has what the primary had. Ends only by success or by the signal. */
export async function waitForPoint(
  session: Session,
  point: PrimaryPoint,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<void> {
  const look = async (): Promise<true | undefined> => {
    const { opTime } = await readHello(session, signal);
    if (opTime !== undefined && compareOpTimes(opTime, point.opTime) >= 0) return true;
    const at = opTime === undefined ? 'nothing' : formatOpTime(opTime);
    context.progress(
      `waiting for this secondary to have ${formatOpTime(point.opTime)} of ${point.primary}; it has ${at}`,
    );
    return undefined;
  };
  await lookUntil(look, ASK_AGAIN_AFTER_MS, signal);
}

/**
 * Waits, under the lock, until a majority has what this member has: until then a restored copy may
 * hold writes that the set itself would still roll back.
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
  // Alone it is the majority, and the lock has put everything on its disk. 4.4 does not move its
  // majority point under the lock (measured).
  if (voters.length === 1 && voters[0]?.self === true) return promised;
  const look = async (): Promise<OpTime | undefined> => {
    const { majorityOpTime } = await readHello(session, signal);
    return majorityOpTime !== undefined && compareOpTimes(majorityOpTime, promised) >= 0
      ? majorityOpTime
      : undefined;
  };
  return await lookUntil(look, ASK_AGAIN_AFTER_MS / 2, signal);
}

/** Which of the other members that could vote are locked; `unknown`: could not be asked. */
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
  const soon = AbortSignal.any([signal, AbortSignal.timeout(PRIMARY_WITHIN_MS)]);
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
