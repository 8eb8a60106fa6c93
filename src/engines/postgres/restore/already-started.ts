import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere } from '../../../lib/regular-file.ts';
import type { ClusterState, ControlFile } from '../data-dir/control-file.ts';
import { parseLsn } from '../lsn.ts';
import { type ReceiptClaims, readLabel } from './receipt-claims.ts';
import type { PidFile } from './running.ts';

/**
 * The cluster states that a copy cut during the hold can have, by the server's role at the freeze.
 */
const PRIMARY_STATES: readonly ClusterState[] = ['in production', 'shutting down'];
const STANDBY_STATES: readonly ClusterState[] = ['in archive recovery'];

/**
 * Whether a server has run on the copy since it was made, judged by its small files; WAL is judged
 * later. An ordinary checkpoint proves nothing: the live server may take one during the hold.
 *
 * @returns why, or `null`.
 */
export async function hasRun(
  pgdata: string,
  claims: ReceiptClaims,
  control: ControlFile,
  pidFile: PidFile | null,
): Promise<string | null> {
  const { position, restore, isStandby } = claims;
  const states = isStandby ? STANDBY_STATES : PRIMARY_STATES;
  if (!states.includes(control.state)) {
    return `pg_control says "${control.state}", but a copy cut during the freeze says "${states[0]}"`;
  }
  if (!isStandby && control.timeline !== position.timeline) {
    return `pg_control is on timeline ${control.timeline}, but the freeze was on ${position.timeline}`;
  }
  const started = Date.parse(position.serverStartedAt);
  // A server writes this file before its recorded start time, in whole seconds.
  if (pidFile?.startedAt && pidFile.startedAt.getTime() > started + 1_000) {
    return `postmaster.pid belongs to a server started at ${pidFile.startedAt.toISOString()}, but the frozen server started at ${position.serverStartedAt}`;
  }
  const used = await readIfThere(join(pgdata, 'backup_label.old'));
  if (used === null) return null;
  if (used === restore.backupLabel) return 'a server has already used the label (backup_label.old)';
  const start = readLabel(used)?.start;
  return start !== undefined && start > parseLsn(position.startLsn)
    ? 'backup_label.old belongs to a later backup'
    : null;
}

/**
 * Whether a server was started on a copy made file by file. The copy's postmaster.pid is the frozen
 * server's, which may have been restarted during the hold. A server started on the copy started
 * after the lease's end, or after the copy's own files were made.
 *
 * @param staging a folder that came with the copy; a chown of the volume makes it look newer.
 * @returns why, or `null`.
 */
export async function startedSince(
  staging: string,
  { position, expiresAt }: ReceiptClaims,
  pidFile: PidFile | null,
): Promise<string | null> {
  const started = pidFile?.startedAt?.getTime();
  if (started === undefined || started <= Date.parse(position.serverStartedAt) + 1_000) return null;
  const made = await stat(join(staging, 'manifest.json')).catch(() => undefined);
  const during = expiresAt !== null && started <= expiresAt.getTime();
  // postmaster.pid has whole seconds.
  if (during && made !== undefined && started + 1_000 < made.ctimeMs) return null;
  return `postmaster.pid belongs to a server started at ${new Date(started).toISOString()}, but the frozen server started at ${position.serverStartedAt}`;
}
