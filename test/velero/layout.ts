import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** The checkout: two folders up, also from the bundle that scripts/run-ts.mjs makes. */
export const ROOT = resolve(import.meta.dirname, '../..');
/** What is built once and kept between runs. */
export const CACHE = process.env['QUIESCE_CACHE'] ?? join(homedir(), '.cache', 'quiesce');
