import { missingForSealed, type Privileges } from '../privileges.ts';
import type { ServerFacts } from '../server.ts';

/** How strong a freeze of this server by this role can be, and why it is not stronger. */
export interface FreezePlan {
  readonly mode: 'sealed' | 'crash-consistent';
  /** The role may `CHECKPOINT`. */
  readonly checkpoint: boolean;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Sealed where the server and the grants allow it. Otherwise only a checkpoint and a marker: an
 * atomic copy of that restores by plain crash recovery, but a copy that lost the end of its WAL
 * starts without an error, so the receipt has to say which of the two it is.
 */
export function planFreeze(server: ServerFacts, privileges: Privileges): FreezePlan {
  const reasons: string[] = [];
  const notes: string[] = [];
  if (server.walLevel === 'minimal') {
    reasons.push('wal-level-minimal');
    notes.push(
      'crash-consistent only: wal_level is minimal; set it to replica for a sealed freeze.',
    );
  }
  const missing = missingForSealed(privileges, server.major);
  if (missing.length > 0) {
    reasons.push('grant-missing');
    notes.push(`crash-consistent only: the role ${privileges.role} lacks: ${missing.join(' ')}`);
  }
  const mode = reasons.length === 0 ? 'sealed' : 'crash-consistent';
  return { mode, checkpoint: privileges.checkpoint, reasons, notes };
}
