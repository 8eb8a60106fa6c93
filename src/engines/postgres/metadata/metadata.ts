import { QuiesceError } from '../../../errors.ts';
import type { JsonObject } from '../../engine.ts';
import { type Asynchronous, readAsynchronous } from './asynchronous.ts';
import { architectureOf, readHba, readLibraries, rolesOf, withCollations } from './read-parts.ts';
import type { EachDatabase } from './each-database.ts';
import { ask, type Row } from './queries.ts';
import { Parts } from '../../shared/parts.ts';
import { findWalOutside } from '../data-dir/layout.ts';
import type { Session } from '../connection/session.ts';
import { readSettings } from './settings-report.ts';
import { quote } from '../connection/sqlstate.ts';
import { missingForSealed, readPrivileges } from '../privileges.ts';
import { toJson } from './to-json.ts';
import { warningsFor } from './warnings.ts';

/** A transaction open for longer is listed and causes a warning. */
const LONG_TRANSACTION_SECONDS = 300;

interface MetadataOptions {
  readonly longTransactionSeconds?: number;
  readonly dataDir?: string | undefined;
  /** Gets the parts that this role may not read. */
  readonly parts?: Parts;
}

/**
 * What an operator needs in addition to the data, read in one pass over one session. Keys are
 * camelCase, times ISO 8601 in UTC, LSNs as the server prints them, bytes numbers (text beyond
 * 2^53). Reads and shows no password hash, no query text and no credential.
 *
 * @throws QuiesceError ENGINE_PRIVILEGE, with the statement, where the role is not in pg_monitor.
 */
export async function readMetadata(
  session: Session,
  signal: AbortSignal,
  options: MetadataOptions = {},
): Promise<JsonObject> {
  await requireMonitor(session, signal);
  const longSeconds = options.longTransactionSeconds ?? LONG_TRANSACTION_SECONDS;
  const [server = {}] = await ask(session, 'server', [], signal);
  const standby = server['inRecovery'] === true;
  const parts = options.parts ?? new Parts();
  const defaults = await readDefaults(session, signal);
  const own = defaults['synchronous_commit'] ?? 'on';
  const answers = {
    standbys: await ask(session, 'standbys', [], signal),
    receiver: standby ? ((await ask(session, 'receiver', [], signal))[0] ?? null) : null,
    replay: standby ? ((await ask(session, 'replay', [], signal))[0] ?? null) : null,
    slots: await ask(session, 'slots', [], signal),
    databases: await withCollations(session, await ask(session, 'databases', [], signal), signal),
    libraries: await readLibraries(session, signal),
    hba: await parts.read('hba', async () => parts.bounded('hba', await readHba(session, signal))),
    roles: await rolesOf(session, signal),
    settings: await readSettings(session, signal),
    extensions: await ask(session, 'extensions', [], signal),
    tablespaces: await ask(session, 'tablespaces', [], signal),
    longTransactions: await ask(session, 'longTransactions', [longSeconds], signal),
    preparedTransactions: await ask(session, 'preparedTransactions', [], signal),
    archiver: (await ask(session, 'archiver', [], signal))[0] ?? {},
    unlogged: await ask(session, 'unloggedTables', [], signal),
    defaults,
    asynchronous: await readAsynchronous(session, own, signal),
    walOutside: await findWalOutside(session, options.dataDir, signal),
    lacking: missingForSealed(await readPrivileges(session, signal), session.major),
  };
  return toJson(arrange(session, server, answers, longSeconds)) as JsonObject;
}

/** Adds what each database has of its own, and the parts that were not read. */
export function withEachDatabase(
  metadata: JsonObject,
  { extensions, collations }: EachDatabase,
  { absent, truncated }: Parts,
): JsonObject {
  const more = toJson({ extensions, collations, absent }) as JsonObject;
  const about = metadata['extensions'] as JsonObject;
  const { warnings = [], ...rest } = metadata;
  return {
    ...rest,
    extensions: { database: about['database'] ?? null, installed: more['extensions'] ?? [] },
    collations: more['collations'] ?? [],
    absent: more['absent'] ?? [],
    ...(truncated.length === 0 ? {} : { truncated: [...truncated] }),
    warnings,
  };
}

async function requireMonitor(session: Session, signal: AbortSignal): Promise<void> {
  const [row] = await session.query<{ ok: boolean; role: string }>(
    `SELECT pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS ok, current_user::text AS role`,
    [],
    signal,
  );
  if (row?.ok) return;
  const statement = `GRANT pg_monitor TO ${quote(row?.role ?? session.role)};`;
  throw new QuiesceError(
    'ENGINE_PRIVILEGE',
    `The metadata needs membership in pg_monitor. Missing: ${statement}`,
    {
      hint: `Run as a superuser: ${statement} (or the whole of roles/postgres.sql).`,
    },
  );
}

/** The values that every new session gets, whatever this session has set. */
async function readDefaults(
  session: Session,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const rows = await session.query<{ name: string; value: string }>(
    `SELECT name, reset_val AS value FROM pg_catalog.pg_settings
      WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names')`,
    [],
    signal,
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

interface Answers {
  readonly standbys: Row[];
  readonly receiver: Row | null;
  readonly replay: Row | null;
  readonly slots: Row[];
  readonly databases: Row[];
  readonly libraries: Row;
  readonly hba: readonly Row[] | null;
  readonly roles: Row[];
  readonly settings: readonly object[];
  readonly extensions: Row[];
  readonly tablespaces: Row[];
  readonly longTransactions: Row[];
  readonly preparedTransactions: Row[];
  readonly archiver: Row;
  readonly unlogged: Row[];
  readonly defaults: Record<string, string>;
  readonly asynchronous: Asynchronous;
  /** The path of pg_wal, if it is not on the volume of the data. */
  readonly walOutside: string | null;
  /** The statements that grant the role what a sealed freeze needs and the role lacks. */
  readonly lacking: readonly string[];
}

function arrange(session: Session, server: Row, answers: Answers, longSeconds: number): object {
  const {
    now,
    inRecovery,
    timeline,
    lsn,
    flushLsn,
    redoLsn,
    checkpointLsn,
    checkpointTime,
    fullPageWrites: _now,
    ...about
  } = server;
  const {
    unlogged: _count,
    walOutside: _path,
    lacking: _statements,
    defaults,
    asynchronous: _commits,
    standbys,
    receiver,
    replay,
    slots,
    extensions,
    ...rest
  } = answers;
  return {
    collectedAt: now,
    server: {
      version: session.version,
      versionNum: session.serverVersionNum,
      role: inRecovery === true ? 'standby' : 'primary',
      ...about,
      architecture: architectureOf(String(about['banner'])),
      encrypted: session.encrypted,
    },
    position: { timeline, lsn, flushLsn, redoLsn, checkpointLsn, checkpointTime },
    replication: {
      standbys,
      receiver,
      replay,
      slots,
      synchronousStandbyNames: defaults['synchronous_standby_names'] ?? '',
    },
    ...rest,
    extensions: {
      database: session.database,
      note: 'Extensions of the connected database only: they are installed per database.',
      installed: extensions,
    },
    warnings: warningsFor(factsFrom(session, server, answers, longSeconds)),
  };
}

function factsFrom(
  session: Session,
  server: Row,
  answers: Answers,
  longSeconds: number,
): Parameters<typeof warningsFor>[0] {
  const { defaults, slots } = answers;
  const dataDirectory = String(server['dataDirectory']);
  const outside = answers.tablespaces.flatMap(({ name, location }) =>
    typeof location === 'string' &&
    location.startsWith('/') &&
    !location.startsWith(`${dataDirectory}/`)
      ? [{ name: String(name), location }]
      : [],
  );
  const named = (keep: (slot: Row) => boolean): string[] =>
    slots.filter(keep).map(({ name }) => String(name));
  return {
    database: session.database,
    dataDirectory,
    fsync: defaults['fsync'] === 'on',
    fullPageWrites: defaults['full_page_writes'] === 'on',
    asynchronous: answers.asynchronous,
    dataChecksums: server['dataChecksums'] === true,
    walLevel: String(server['walLevel']),
    unloggedTables: Number(answers.unlogged[0]?.['count'] ?? 0),
    preparedTransactions: answers.preparedTransactions.length,
    longTransactions: answers.longTransactions.length,
    longTransactionSeconds: longSeconds,
    persistentSlots: named((slot) => slot['temporary'] === false),
    lostSlots: named((slot) => slot['walStatus'] === 'lost'),
    tablespaces: outside,
    walOutside: answers.walOutside,
    lacking: answers.lacking,
    archiverFailing: answers.archiver['failing'] === true,
    replayPaused: answers.replay?.['paused'] === true,
    collationsChanged: answers.databases
      .filter(({ collationVersion: was, actualCollationVersion: is }) => was && is && was !== is)
      .map(({ name }) => String(name)),
  };
}
