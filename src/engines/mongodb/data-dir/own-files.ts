import type { OwnFiles } from '../../engine.ts';

/** Tables, and WiredTiger's own files, which a checkpoint and the lock sync. */
const TABLE = /\.wt$|^WiredTiger/;
/** In the data directory: the journal, and diagnostic data, which no server needs. */
const FOLDERS = new Set(['journal', 'diagnostic.data']);

/** What mongod syncs itself: not the key file, a configuration or certificates. */
export const ownFiles: OwnFiles = async ({ name, beside }) =>
  TABLE.test(name) || (FOLDERS.has(name) && (await beside('WiredTiger')));
