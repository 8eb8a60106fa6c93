import { type App, type Edit, mongodb, oneMember, postgres, redis } from '../../apps/index.ts';

/** What the ugly stories play on. */
export interface Engine {
  readonly name: 'postgres' | 'redis' | 'mongodb';
  readonly title: string;
  make(...edits: readonly Edit[]): App;
}

export const POSTGRES: Engine = { name: 'postgres', title: 'PostgreSQL', make: postgres };
export const REDIS: Engine = { name: 'redis', title: 'Redis', make: redis };
export const MONGODB: Engine = {
  name: 'mongodb',
  title: 'MongoDB',
  make: (...edits) => mongodb(oneMember, ...edits),
};
