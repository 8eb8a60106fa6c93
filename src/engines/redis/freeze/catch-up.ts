import { QuiesceError } from '../../../errors.ts';
import type { FreezeContext } from '../../engine.ts';
import { type Info, numberOf } from '../connection/replies.ts';
import { readServer, type ServerFacts } from '../server.ts';
import { Session } from '../connection/session.ts';
import type { RedisSettings } from '../connection/settings.ts';
import { lookUntil } from '../../../lib/deadline.ts';

const LOOK_EVERY_MS = 10;
/** Longest chain of replicas that is followed: two that follow each other would never end. */
const LONGEST_CHAIN = 8;

/** The primary's offset when it was asked. The replica has reached it since. */
export interface CaughtUp {
  readonly primary: string;
  /** The primary's replication offset when it was asked; every write acknowledged before then is below it. */
  readonly offset: number;
  readonly waitedMs: number;
}

/**
 * Asks the primary for its offset and waits until this replica has reached it. The freeze's timeout is
 * the deadline. The primary is asked as the same user and with the same TLS settings as the replica.
 *
 * @throws QuiesceError ENGINE_NOT_STREAMING where the link is down or the primary cannot be asked.
 */
export async function catchUp(
  session: Session,
  settings: RedisSettings,
  context: FreezeContext,
  signal: AbortSignal,
): Promise<CaughtUp> {
  const begun = performance.now();
  const replica = await readServer(session, signal);
  requireReplicationLink(replica.info);
  const { name, facts } = await askPrimary(replica, settings, signal);
  if (facts.replid !== replica.replid) {
    throw notStreaming(
      `the primary ${name} and this replica have different histories (master_replid ${facts.replid} and ${replica.replid})`,
    );
  }
  const look = async (): Promise<true | undefined> => {
    const now = await readServer(session, signal);
    requireReplicationLink(now.info);
    const behind = facts.offset - (numberOf(now.info, 'slave_repl_offset') ?? 0);
    if (behind <= 0) return true;
    context.progress(`waiting for the replica: ${behind} bytes behind its primary`);
    return undefined;
  };
  await lookUntil(look, LOOK_EVERY_MS, signal);
  return { primary: name, offset: facts.offset, waitedMs: performance.now() - begun };
}

/** Follows a chain of replicas up to the primary: one in between may lack writes that it acknowledged. */
async function askPrimary(
  replica: ServerFacts,
  settings: RedisSettings,
  signal: AbortSignal,
): Promise<{ name: string; facts: ServerFacts }> {
  let below = replica;
  for (let step = 0; step < LONGEST_CHAIN; step += 1) {
    const { name, facts } = await askSource(below, settings, signal);
    if (facts.role === 'primary') return { name, facts };
    below = facts;
  }
  throw notStreaming(`a chain of ${LONGEST_CHAIN} replicas leads to no primary`);
}

async function askSource(
  replica: ServerFacts,
  settings: RedisSettings,
  signal: AbortSignal,
): Promise<{ name: string; facts: ServerFacts }> {
  const host = replica.info.get('master_host') ?? '';
  const port = numberOf(replica.info, 'master_port') ?? 0;
  const name = `${host}:${port}`;
  try {
    const source = await Session.open({ ...settings, host, port, socket: undefined }, signal);
    try {
      return { name, facts: await readServer(source, signal) };
    } finally {
      source.close();
    }
  } catch (error) {
    if (signal.aborted) throw error;
    const why = error instanceof QuiesceError ? error.message : 'it did not answer.';
    throw notStreaming(`its primary cannot be asked for its offset: ${why.replace(/\.$/, '')}`);
  }
}

function requireReplicationLink(info: Info): void {
  if (info.get('role') !== 'slave') throw notStreaming('it is a primary now');
  if (info.get('master_sync_in_progress') === '1')
    throw notStreaming(
      'it is in a full synchronization with its primary (master_sync_in_progress)',
    );
  if (info.get('master_link_status') === 'up') return;
  throw notStreaming(
    `the link to its primary is ${info.get('master_link_status')}, since ${info.get('master_link_down_since_seconds') ?? 'some'} s`,
  );
}

function notStreaming(why: string): QuiesceError {
  return new QuiesceError(
    'ENGINE_NOT_STREAMING',
    `This replica may lack writes that its primary acknowledged: ${why}.`,
    {
      hint: 'Repair replication, and let the sidecar reach the primary with the same user and password; or freeze the primary.',
    },
  );
}
