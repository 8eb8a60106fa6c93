import { type App, type Edit, mongodb, postgres, redis } from '../../apps/index.ts';

/** What the ugly stories play on. */
export interface Engine {
  readonly name: 'postgres' | 'redis' | 'mongodb';
  readonly title: string;
  /** Whether writers wait while it is held. */
  readonly blocksWriters: boolean;
  make(...edits: readonly Edit[]): App;
}

/** A set of one: a backup then holds one pod, once. */
const single: Edit = ({ workload }) => {
  workload.spec.replicas = 1;
};

export const POSTGRES: Engine = {
  name: 'postgres',
  title: 'PostgreSQL',
  blocksWriters: false,
  make: postgres,
};
export const REDIS: Engine = { name: 'redis', title: 'Redis', blocksWriters: true, make: redis };
export const MONGODB: Engine = {
  name: 'mongodb',
  title: 'MongoDB',
  blocksWriters: true,
  make: (...edits) => mongodb(single, ...edits),
};
