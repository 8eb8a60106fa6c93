import type { MongoRestore } from '../receipt.ts';

/** Without these options, a member's data loses the writes that only its oplog holds (measured). */
export const REPLAY_OPTIONS = [
  '--setParameter',
  'recoverFromOplogAsStandalone=true',
  '--setParameter',
  'takeUnstableCheckpointOnShutdown=true',
] as const;

/**
 * The steps that remain for a person, in order. A member's tables lag behind its oplog: a copy that is
 * started outside its set without replaying the oplog lacks acknowledged writes.
 */
export function nextSteps(restore: MongoRestore): string[] {
  const { set } = restore;
  const shard = restore.shard
    ? ['This was one server of a sharded cluster: its copy alone is not a backup of the cluster.']
    : [];
  if (set === null) return [...shard, 'Start mongod on it with the same options as before.'];
  return [
    ...shard,
    `As the same member of ${set.name} (its other members are there or come back): start mongod with --replSet ${set.name}, as before.`,
    `As a new set or alone, 1: start mongod without --replSet, on 127.0.0.1 and an unused port, with its storage options as before (--directoryperdb, --wiredTigerJournalCompressor, …) and ${REPLAY_OPTIONS.join(' ')}; when it answers, stop it with SIGTERM. Without this step the copy lacks acknowledged writes that only its oplog holds.`,
    'As a new set or alone, 2: start it on 127.0.0.1 without --replSet, --keyFile, --auth and these parameters (with access control no user may drop local), run db.getSiblingDB("local").dropDatabase(), and stop it. To run it alone, now start it with its normal options.',
    'As a new set, 3: start it with --replSet NEWNAME, --auth and --keyFile, and as an administrator: rs.initiate(); then rs.add() the other members, with empty data directories.',
  ];
}
