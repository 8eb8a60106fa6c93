import type { MongoRestore } from './receipt.ts';

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
export function procedure(restore: MongoRestore): string[] {
  const { set } = restore;
  const shard = restore.shard
    ? ['This was one server of a sharded cluster: its copy alone is no backup of the cluster.']
    : [];
  if (set === null) return [...shard, 'Start mongod on it as it was started before.'];
  return [
    ...shard,
    `As the same member of ${set.name} (its other members are there or come back): start mongod with --replSet ${set.name}, as before.`,
    `As a new set or alone, 1: start mongod without --replSet, on a port nobody uses, with ${REPLAY_OPTIONS.join(' ')}; when it answers, stop it with SIGTERM. Without this step the copy lacks acknowledged writes that only its oplog holds.`,
    'As a new set or alone, 2: start mongod without --replSet and without these parameters, and as an administrator: db.getSiblingDB("local").dropDatabase(). Alone: it is ready now.',
    'As a new set, 3: stop it, start it with --replSet NEWNAME, and as an administrator: rs.initiate(); then rs.add() the other members, with empty data directories.',
  ];
}
