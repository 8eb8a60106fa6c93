import type { Document } from 'mongodb';
import { QuiesceError } from '../../../errors.ts';
import { type OpTime, readOpTime } from '../optime.ts';
import type { Session } from '../connection/session.ts';

/** One member of the set, from the configuration and from this server's last heartbeat with it. */
export interface Member {
  readonly id: number;
  readonly host: string;
  /** The server's word: `PRIMARY`, `SECONDARY`, `(not reachable/healthy)`, … */
  readonly state: string;
  readonly healthy: boolean;
  readonly self: boolean;
  readonly votes: number;
  readonly hidden: boolean;
  readonly arbiter: boolean;
  readonly delaySeconds: number;
  readonly opTime: OpTime | undefined;
  /** When this server last received a heartbeat from it; `undefined` for itself. */
  readonly heartbeatAt: Date | undefined;
}

export interface SetView {
  readonly name: string;
  readonly term: number;
  readonly replicaSetId: string;
  readonly members: readonly Member[];
  /** The last write known to be on the disks of a majority. */
  readonly committed: OpTime | undefined;
}

/** States in which a member can vote. */
const VOTING_STATES = new Set(['PRIMARY', 'SECONDARY', 'ARBITER']);
const DATA_STATES = new Set(['PRIMARY', 'SECONDARY']);

export async function readSet(session: Session, signal: AbortSignal): Promise<SetView> {
  const status = await session.admin({ replSetGetStatus: 1 }, 'read the status of the set', signal);
  const answer = await session.admin(
    { replSetGetConfig: 1 },
    'read the configuration of the set',
    signal,
  );
  return toSetView(status, answer['config'] as Document);
}

export function toSetView(status: Document, config: Document): SetView {
  const configured = config['members'] as Document[];
  const optimes = status['optimes'] as Document | undefined;
  return {
    name: String(status['set']),
    term: Number(status['term'] ?? -1),
    replicaSetId: String((config['settings'] as Document | undefined)?.['replicaSetId'] ?? ''),
    committed: readOpTime(optimes?.['lastCommittedOpTime']),
    members: (status['members'] as Document[]).map((member) => {
      const own = configured.find((one) => Number(one['_id']) === Number(member['_id'])) ?? {};
      const heartbeat = member['lastHeartbeat'] as unknown;
      return {
        id: Number(member['_id']),
        host: String(member['name']),
        state: String(member['stateStr']),
        healthy: Number(member['health']) === 1,
        self: member['self'] === true,
        votes: Number(own['votes'] ?? 1),
        hidden: own['hidden'] === true,
        arbiter: own['arbiterOnly'] === true,
        delaySeconds: Number(own['secondaryDelaySecs'] ?? own['slaveDelay'] ?? 0),
        opTime: readOpTime(member['optime']),
        heartbeatAt: heartbeat instanceof Date ? heartbeat : undefined,
      };
    }),
  };
}

/** What the set can still do while this member is locked. */
export interface Majority {
  /** Votes needed for a majority. */
  readonly needed: number;
  /** Votes of the healthy members that are not locked. */
  readonly left: number;
  /** The others can still elect a primary, or there are no others. */
  readonly kept: boolean;
  /** A write with `w: majority` can still be acknowledged. */
  readonly writesGoOn: boolean;
  /** The others cannot elect a primary without this member's vote. */
  readonly voteNeeded: boolean;
}

/**
 * A locked member neither acknowledges writes nor votes, because a vote is a write (measured: with one
 * member of three locked and the primary dead, no primary is elected until the lock ends).
 *
 * @param locked hosts of other members that are known to be locked.
 */
export function majorityWithout(view: SetView, locked: ReadonlySet<string>): Majority {
  const voters = view.members.filter(({ votes }) => votes > 0);
  const needed = Math.floor(voters.length / 2) + 1;
  const others = voters.filter((one) => !one.self && one.healthy && !locked.has(one.host));
  const left = others.filter(({ state }) => VOTING_STATES.has(state)).length;
  const self = view.members.find((one) => one.self);
  const alone = view.members.length === 1;
  const dataBearing = others.filter((one) => DATA_STATES.has(one.state) && !one.arbiter).length;
  // Like the server's writeMajorityCount: at most the number of members that hold data.
  const dataBearers = voters.filter((one) => !one.arbiter).length;
  const kept = alone || (self?.votes === 0 && left >= needed) || left >= needed;
  const primaryElsewhere = view.members.some((one) => !one.self && one.state === 'PRIMARY');
  return {
    needed,
    left,
    kept,
    writesGoOn: primaryElsewhere && dataBearing >= Math.min(needed, dataBearers),
    voteNeeded: (self?.votes ?? 0) > 0 && left - (primaryElsewhere ? 1 : 0) < needed,
  };
}

/** @throws QuiesceError ENGINE_MAJORITY where a lock would cost the set its voting majority. */
export function requireMajority(view: SetView, locked: ReadonlySet<string>): Majority {
  const majority = majorityWithout(view, locked);
  if (majority.kept) return majority;
  const states = view.members
    .map((one) => `${one.host} ${locked.has(one.host) ? 'locked' : one.state}`)
    .join(', ');
  throw new QuiesceError(
    'ENGINE_MAJORITY',
    `With this member locked the set ${view.name} would have only ${majority.left} of the ${majority.needed} votes that a majority needs (${states}).`,
  );
}

/** The set has no primary, and cannot elect one without this member's vote. */
export function blocksElection(view: SetView): boolean {
  const primary = view.members.some((one) => one.state === 'PRIMARY' && one.healthy);
  return !primary && majorityWithout(view, new Set()).voteNeeded;
}
