/** The databases under test, as the stories use them. */
export type { Access, App, Forwarded, Load } from './app.ts';
export { type Comparison, type Hold, holdOf, type Waits, whileHeld } from './compare.ts';
export * from './edits.ts';
export { ackedBefore, type Ledger, readLedger } from './ledger.ts';
export type { Edit } from './manifest.ts';
export { mongodb } from './mongodb.ts';
export * from './pasted.ts';
export { postgres } from './postgres.ts';
export * from './postgres-edits.ts';
export { redis } from './redis.ts';
