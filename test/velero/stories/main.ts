import { mongodb, postgres, redis } from '../apps/index.ts';
import { oneSecondary } from '../stage/one-secondary.ts';
import { backupAndRestore } from './backup-restore.ts';
import type { Story } from './story.ts';

const title = (what: string): string =>
  `${what}: backup under load, namespace deleted, restore, nothing missing`;

export const main: readonly Story[] = [
  {
    name: 'postgres',
    group: 'main',
    title: title('PostgreSQL of docs/examples'),
    inCi: true,
    play: async (stage) => await backupAndRestore(stage, postgres(), { name: 'postgres' }),
  },
  {
    name: 'redis',
    group: 'main',
    title: title('Redis with AOF and a password'),
    inCi: true,
    play: async (stage) => await backupAndRestore(stage, redis(), { name: 'redis' }),
  },
  {
    name: 'mongodb',
    group: 'main',
    title: title('MongoDB, a secondary of a set of three'),
    inCi: true,
    play: async (stage) => {
      const app = mongodb();
      const frozen = (): Promise<readonly string[]> => oneSecondary(stage, app);
      await backupAndRestore(stage, app, { name: 'mongodb', frozen });
    },
  },
];
