import type { Wire } from '../engine.ts';

/** Statements of a freeze, by text in them that is not in the query for a grant. */
const STEPS: Wire['steps'] = [
  ['pg_create_physical_replication_slot', 'slot asked'],
  ['pg_backup_start($1', 'backup start asked', 'backup started'],
  ['pg_start_backup($1', 'backup start asked', 'backup started'],
  ['pg_backup_stop(false', 'backup stop asked', 'backup stopped'],
  ['pg_stop_backup(false', 'backup stop asked', 'backup stopped'],
  ['pg_logical_emit_message', 'marker asked', 'marker written'],
  ['ELSE pg_catalog.pg_wal_replay_pause()', 'pause asked', 'pause answered'],
  ['THEN pg_catalog.pg_wal_replay_resume()', 'switch asked'],
  ['SELECT pg_catalog.pg_wal_replay_resume()', 'resume asked', 'resume answered'],
  ['pg_ls_waldir', 'check asked', 'check answered'],
];

const NOTICE = 0x4e;

export const wire: Wire = {
  steps: STEPS,
  processOf: backendKey,
  // Errors and rows start with another letter.
  isAside: (chunk) => chunk[0] === NOTICE,
};

/** The process id of BackendKeyData (documentation, "Message Formats"), where the chunk contains it. */
function backendKey(chunk: Buffer): number | undefined {
  for (let at = 0; at + 5 <= chunk.length;) {
    const length = chunk.readInt32BE(at + 1);
    if (chunk[at] === 0x4b && at + 9 <= chunk.length) return chunk.readInt32BE(at + 5);
    if (length < 4) return undefined;
    at += 1 + length;
  }
  return undefined;
}
