import type { Session } from './connection/session.ts';
import { quote } from './connection/sqlstate.ts';

/** What the role may do. This decides how strong a freeze can be. */
export interface Privileges {
  readonly role: string;
  readonly start: boolean;
  readonly stop: boolean;
  /** `CHECKPOINT`: superusers, and from PostgreSQL 15 on members of pg_checkpoint. */
  readonly checkpoint: boolean;
  /** `pg_ls_waldir()`, which shows that the start segment is still on disk. Part of pg_monitor. */
  readonly listWal: boolean;
  /** The role sees all settings and other users' sessions. */
  readonly monitor: boolean;
}

/** Signatures in the form that `has_function_privilege` expects. */
export function backupSignatures(major: number): { start: string; stop: string } {
  return major >= 15
    ? {
        start: 'pg_catalog.pg_backup_start(text, boolean)',
        stop: 'pg_catalog.pg_backup_stop(boolean)',
      }
    : {
        start: 'pg_catalog.pg_start_backup(text, boolean, boolean)',
        stop: 'pg_catalog.pg_stop_backup(boolean, boolean)',
      };
}

export async function readPrivileges(session: Session, signal: AbortSignal): Promise<Privileges> {
  const { start, stop } = backupSignatures(session.major);
  const [row] = await session.query<Privileges>(
    `SELECT current_user::text AS role,
            pg_catalog.has_function_privilege($1, 'EXECUTE') AS start,
            pg_catalog.has_function_privilege($2, 'EXECUTE') AS stop,
            pg_catalog.has_function_privilege('pg_catalog.pg_ls_waldir()', 'EXECUTE') AS "listWal",
            pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS monitor,
            pg_catalog.current_setting('is_superuser') = 'on'
              OR EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pg_checkpoint'
                            AND pg_catalog.pg_has_role(oid, 'USAGE')) AS checkpoint`,
    [start, stop],
    signal,
  );
  if (!row) throw new Error('the query for the privileges of the role returned no row');
  return row;
}

/** The statements that grant the role what a sealed freeze needs and the role lacks. */
export function missingForSealed(privileges: Privileges, major: number): string[] {
  const signatures = backupSignatures(major);
  const role = quote(privileges.role);
  const missing: string[] = [];
  if (!privileges.start) missing.push(`GRANT EXECUTE ON FUNCTION ${signatures.start} TO ${role};`);
  if (!privileges.stop) missing.push(`GRANT EXECUTE ON FUNCTION ${signatures.stop} TO ${role};`);
  if (!privileges.listWal || !privileges.monitor) missing.push(`GRANT pg_monitor TO ${role};`);
  return missing;
}
