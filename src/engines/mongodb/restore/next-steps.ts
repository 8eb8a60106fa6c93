import type { MongoRestore } from '../receipt.ts';

/** The options without which a member's data loses what only its oplog holds; measured. */
export const REPLAY_OPTIONS = [
  '--setParameter',
  'recoverFromOplogAsStandalone=true',
  '--setParameter',
  'takeUnstableCheckpointOnShutdown=true',
] as const;

/**
 * What is left to be done by a person, in order. A member's tables lag behind its oplog: started
 * without the set and without the replay, a copy lacks acknowledged writes.
 */
export function nextSteps(restore: MongoRestore): string[] {
  const { set } = restore;
  const shard = restore.shard
    ? ['This was one server of a sharded cluster: its copy alone is no backup of the cluster.']
    : [];
  if (set === null) return [...shard, 'Start mongod on it as it was started before.'];
  return [
    ...shard,
    `As the same member of ${set.name} (its other members are there or come back): start mongod with --replSet ${set.name}, as before.`,
    `As a new set or alone, 1: start mongod without --replSet, on 127.0.0.1 and a port nobody uses, with ${REPLAY_OPTIONS.join(' ')}; when it answers, stop it with SIGTERM. Without this step the copy lacks acknowledged writes that only its oplog holds.`,
    'As a new set or alone, 2: start it on 127.0.0.1 without --replSet, --keyFile, --auth and these parameters (no user may drop local where users are asked for), run db.getSiblingDB("local").dropDatabase(), and stop it. Alone: start it as it is to run.',
    'As a new set, 3: start it with --replSet NEWNAME, --auth and --keyFile, and as an administrator: rs.initiate(); then rs.add() the other members, with empty data directories.',
  ];
}
