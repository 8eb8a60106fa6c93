import { Client } from 'pg';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import { type Acked, countAcked, WriterLoad } from '../../src/testbed/postgres/load.ts';
import { listProcesses } from '../../src/testbed/os.ts';
import { killAll } from '../support/copies.ts';
import { ROLE_PASSWORD } from '../support/postgres.ts';
import type { Ledger, Load, ServerControl } from './fixture.ts';
import { waitForArrival } from './postgres-standby.ts';

export interface PostgresLedger extends Ledger {
  readonly acked: Acked;
}

const TRESPASSES = [
  'SELECT * FROM bank.accounts',
  'UPDATE bank.accounts SET balance = 0',
  'INSERT INTO app VALUES (2)',
  'CREATE TABLE bank.mine (n int)',
  'SELECT rolpassword FROM pg_authid',
  'CREATE ROLE other',
  'CREATE DATABASE other',
  "ALTER SYSTEM SET work_mem = '5MB'",
  "SELECT pg_read_file('postgresql.conf')",
  "COPY (SELECT 1) TO PROGRAM 'true'",
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
];

const NO_RIGHT = '42501';
/** On a standby no role may write, whatever its rights. */
const READ_ONLY = '25006';

/**
 * @returns what the sidecar's role was able to do, or failed to do for another reason than its
 * rights.
 */
export async function trespassOn(server: EmbeddedPostgres): Promise<string[]> {
  const client = new Client({ ...server.superuser(), user: 'quiesce', password: ROLE_PASSWORD });
  await client.connect();
  // A superuser's session that the role must not be able to end.
  const superuser = new Client(server.superuser());
  await superuser.connect();
  const able: string[] = [];
  for (const sql of TRESPASSES) {
    await client.query(sql).then(
      () => able.push(`may ${sql}`),
      ({ code, message }: { code?: string; message: string }) => {
        // Another failure proves nothing about rights.
        if (code !== NO_RIGHT && code !== READ_ONLY) able.push(`${sql}: ${message}`);
      },
    );
  }
  await superuser.end();
  await client.end();
  return able;
}

/**
 * Clients of the primary. Their acknowledged writes count once they have reached the frozen server.
 */
export function loadOf(
  primary: EmbeddedPostgres,
  frozen: EmbeddedPostgres,
): Load<PostgresLedger> & { prepare(): Promise<void> } {
  const load = new WriterLoad({ connection: primary.superuser(), clients: 4, accounts: 200 });
  return {
    prepare: () => load.prepare(),
    start: () => load.start(),
    stop: () => load.stop(),
    acked: async () => {
      const acked = load.snapshotAcked();
      if (primary !== frozen) await waitForArrival(primary, frozen, 'receive');
      return { count: countAcked(acked), acked };
    },
  };
}

export function controlOf(server: EmbeddedPostgres): ServerControl {
  let stalled: number[] = [];
  return {
    kill: () => killAll(server),
    start: () => server.start(),
    stall: async () => {
      const { pid } = server;
      const family = (await listProcesses()).filter((one) => one.pid === pid || one.parent === pid);
      stalled = family.map((one) => one.pid);
      for (const one of stalled) process.kill(one, 'SIGSTOP');
    },
    resume: () => {
      for (const one of stalled.splice(0)) process.kill(one, 'SIGCONT');
      return Promise.resolve();
    },
  };
}
