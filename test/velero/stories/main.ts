import { mongodb, postgres, redis } from '../apps/index.ts';
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
    title: title('MongoDB, a set of three, held together by orderedResources'),
    inCi: true,
    play: async (stage) => {
      const app = mongodb();
      // Held one after the other, their copies may not fit together (docs/engines/mongodb.md).
      const pods = app.pods.map((pod) => `${app.namespace}/${pod}`).join(',');
      const backup = { flags: ['--ordered-resources', `pods=${pods}`] };
      await backupAndRestore(stage, app, { name: 'mongodb', backup });
    },
  },
];
