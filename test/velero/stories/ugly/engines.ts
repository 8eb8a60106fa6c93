import { type App, type Edit, mongodb, postgres, redis } from '../../apps/index.ts';

/** What the ugly stories play on. */
export interface Engine {
  readonly name: 'postgres' | 'redis' | 'mongodb';
  readonly title: string;
  make(...edits: readonly Edit[]): App;
}

/** A set of one: a backup then holds one pod, once. */
const single: Edit = ({ workload }) => {
  workload.spec.replicas = 1;
};

export const POSTGRES: Engine = { name: 'postgres', title: 'PostgreSQL', make: postgres };
export const REDIS: Engine = { name: 'redis', title: 'Redis', make: redis };
export const MONGODB: Engine = {
  name: 'mongodb',
  title: 'MongoDB',
  make: (...edits) => mongodb(single, ...edits),
};
