import {
  mongodb,
  notInjected,
  inNamespace,
  oneMember,
  PASTED,
  postgres,
  redis,
  withFsfreeze,
} from '../apps/index.ts';
import { compareWays, type Contest } from './contest.ts';
import type { Way } from '../stage/stage.ts';
import type { Story } from './story.ts';

const QUIESCE = 'quiesce, CSI snapshot';
const NONE = 'no hooks';
const nothing =
  'Nothing: nobody looks at the copy. PostgreSQL recovers from it as after a power cut, because this snapshot is atomic.';

function way(engine: Way['engine'], name: string, proves: string): Way {
  return { engine, name, proves, ...(name === QUIESCE && { reference: true }) };
}

const ofPostgres: Contest = {
  held: postgres(inNamespace('bench-quiesce')),
  plain: postgres(inNamespace('bench-pasted'), notInjected, withFsfreeze),
  ways: [
    {
      way: way(
        'PostgreSQL',
        QUIESCE,
        'That the backup was whole while the snapshot was cut; the copy is checked before its server starts, and the database after it. Nobody waits.',
      ),
      hooks: 'quiesce',
    },
    {
      way: way(
        'PostgreSQL',
        'psql: pg_backup_start, pg_backup_stop',
        'Nothing: the backup ends with the session of the first hook, so the second one fails and every backup is PartiallyFailed, which hides a real failure.',
      ),
      hooks: PASTED.startAndStop,
      ends: 'PartiallyFailed',
      says: /backup is not in progress/,
    },
    {
      way: way(
        'PostgreSQL',
        'psql: CHECKPOINT',
        'Nothing: crash recovery gets shorter, and the hook succeeds whatever becomes of the copy.',
      ),
      hooks: PASTED.checkpoint,
      ends: 'Completed',
    },
    {
      way: way(
        'PostgreSQL',
        'fsfreeze, privileged container',
        'That no block changed while it was frozen, at the price of a privileged container and of every writer waiting; without its second hook they wait for a person.',
      ),
      hooks: PASTED.fsfreeze,
      ends: 'Completed',
      blocks: true,
    },
    { way: way('PostgreSQL', NONE, nothing), hooks: null, ends: 'Completed' },
  ],
};

const ofRedis: Contest = {
  held: redis(inNamespace('bench-quiesce')),
  plain: redis(inNamespace('bench-pasted'), notInjected),
  ways: [
    {
      way: way(
        'Redis',
        QUIESCE,
        'That every acknowledged write was on the disk and none went in until the thaw; the copy is checked before its server starts. Writers wait for the hold.',
      ),
      hooks: 'quiesce',
    },
    {
      way: way(
        'Redis',
        'redis-cli BGSAVE',
        'Nothing: it returns before the file is written, and a server with an AOF does not load that file. The AOF in the copy ends where the disk was: up to a second of writes is missing, and a torn end keeps the server from starting.',
      ),
      hooks: PASTED.bgsave,
      ends: 'Completed',
    },
    {
      way: way(
        'Redis',
        'redis-cli SAVE',
        'Nothing: it blocks the whole server while it saves, and leaves the AOF in the copy as with BGSAVE.',
      ),
      hooks: PASTED.save,
      ends: 'Completed',
    },
  ],
};

const ofMongodb: Contest = {
  held: mongodb(inNamespace('bench-quiesce'), oneMember),
  plain: mongodb(inNamespace('bench-pasted'), oneMember, notInjected),
  ways: [
    {
      way: way(
        'MongoDB',
        QUIESCE,
        'That one lock was held from freeze to thaw, by the same process and at the same position; the copy is checked before its server starts. The lock ends by itself.',
      ),
      hooks: 'quiesce',
    },
    {
      way: way(
        'MongoDB',
        'fsyncLock, fsyncUnlock',
        'Nothing that anyone checks, but the lock is the right one. Without its second hook it stays until a person unlocks the member.',
      ),
      hooks: PASTED.fsyncLock,
      ends: 'Completed',
    },
  ],
};

const title = (engine: string): string =>
  `${engine}: pasted hooks against quiesce, the same load and cluster`;

export const bench: readonly Story[] = [
  ['bench-postgres', title('PostgreSQL'), ofPostgres] as const,
  ['bench-redis', title('Redis'), ofRedis] as const,
  ['bench-mongodb', title('MongoDB'), ofMongodb] as const,
].map(([name, what, contest]) => ({
  name,
  group: 'bench',
  title: what,
  inCi: false,
  play: (stage) => compareWays(stage, name, contest),
}));
