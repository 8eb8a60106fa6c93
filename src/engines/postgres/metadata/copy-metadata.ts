import { QuiesceError } from '../../../errors.ts';
import type { CopyMetadata, JsonObject } from '../../engine.ts';
import { Parts } from '../../shared/parts.ts';
import { withSession } from '../../shared/with-session.ts';
import type { Session } from '../connection/session.ts';
import { askBriefly, SERVER } from './copy-queries.ts';
import { readEachDatabase } from './each-database.ts';
import { architectureOf, readHba, readLibraries, rolesOf, withCollations } from './read-parts.ts';
import { ask, QUERIES, type Row } from './queries.ts';
import { readSettingsForCopy } from './settings-report.ts';
import { toJson } from './to-json.ts';

type Open = (database?: string) => Promise<Session>;

/**
 * What of the metadata travels with a copy. Any LOGIN role reads most of it; what needs a right that the
 * role lacks is absent, with the statement that grants it.
 */
export async function readCopyMetadata(open: Open, signal: AbortSignal): Promise<CopyMetadata> {
  const parts = new Parts();
  const main = await withSession(open(), (session) => readMain({ session, parts, signal }));
  const databases = main.databases ?? [];
  const { extensions, collations } = await readEachDatabase(databases, open, parts, signal);
  const whole = { ...main, extensions: { installed: extensions }, collations };
  return parts.collect(toJson(whole) as JsonObject);
}

interface Reading {
  readonly session: Session;
  readonly parts: Parts;
  readonly signal: AbortSignal;
}

async function readMain(reading: Reading) {
  const { session, parts, signal } = reading;
  const read = <T>(part: string, work: () => Promise<T>): Promise<T | null> =>
    parts.read(part, work);
  return {
    server: await read('server', () => readServerPart(reading)),
    libraries: await read('libraries', () => readLibraries(session, signal)),
    databases: await read('databases', () => readDatabases(reading)),
    tablespaces: await read('tablespaces', () => askBriefly(session, QUERIES.tablespaces, signal)),
    roles: await read('roles', async () => parts.bounded('roles', await rolesOf(session, signal))),
    settings: await read('settings', () => readSettingsForCopy(session, signal)),
    hba: await read('hba', async () => parts.bounded('hba', await readHba(session, signal))),
    replication: await read('replication', () => readReplication(session, signal)),
    preparedTransactions: await read('preparedTransactions', async () =>
      (await ask(session, 'preparedTransactions', [], signal)).map(
        ({ gid: _free, ageSeconds: _passing, ...shown }) => shown,
      ),
    ),
  };
}

async function readServerPart({ session, parts, signal }: Reading): Promise<Row> {
  const [row = {}] = await session.query<Row>(SERVER, [], signal);
  const { banner, inRecovery, allSettings, ...rest } = row;
  if (allSettings !== true) {
    parts.leaveOut(
      'settings that only members of pg_read_all_settings see',
      `Missing: GRANT pg_monitor TO ${session.role};`,
    );
  }
  return {
    version: session.version,
    major: session.major,
    role: inRecovery === true ? 'standby' : 'primary',
    architecture: architectureOf(String(banner)),
    ...rest,
  };
}

async function readDatabases({ session, parts, signal }: Reading): Promise<Row[]> {
  const rows = await askBriefly(session, QUERIES.databases, signal).catch(
    async (error: unknown) => {
      if (!(error instanceof QuiesceError) || session.lost.aborted) throw error;
      parts.leaveOut('sizes of databases', error.message);
      const unsized = QUERIES.databases.replace(
        /pg_catalog\.pg_database_size\(d\.oid\)::text/,
        'NULL',
      );
      return await session.query<Row>(unsized, [], signal);
    },
  );
  return await withCollations(session, parts.bounded('databases', rows), signal);
}

async function readReplication(session: Session, signal: AbortSignal): Promise<object> {
  const standbys = await ask(session, 'standbys', [], signal);
  const slots = await ask(session, 'slots', [], signal);
  const [receiver] = await ask(session, 'receiver', [], signal);
  return {
    standbys: standbys.map(({ name, address, user, state, syncState, syncPriority }) => {
      return { name, address, user, state, syncState, syncPriority };
    }),
    receiver: receiver
      ? {
          status: receiver['status'],
          slot: receiver['slot'],
          senderHost: receiver['senderHost'],
          senderPort: receiver['senderPort'],
        }
      : null,
    // A temporary slot ends with its session, so no copy has it.
    slots: slots
      .filter(({ temporary }) => temporary !== true)
      .map(({ name, type, plugin, database, active, walStatus }) => {
        return { name, type, plugin, database, active, walStatus };
      }),
  };
}
