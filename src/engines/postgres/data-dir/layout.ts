import { lstat, readdir, realpath } from 'node:fs/promises';
import { join, relative as relativePath } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { isForeign } from '../../shared/foreign-entries.ts';
import { isInside } from '../../../lib/paths.ts';
import { readRegular } from '../../../lib/regular-file.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import { readSystemIdentifier } from './control-file.ts';
import { parseLsn, walFileName } from '../lsn.ts';
import { isOutside, noteOutside } from '../outside.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import {
  checkVolumes,
  deviceOf,
  findWal,
  isRefusal,
  type LayoutInput,
  type Refusal,
  type Tablespace,
} from './volumes.ts';

/** Where the data is, as seen from the sidecar, and whether one volume contains all of it. */
export interface Layout {
  /** PGDATA as seen from the sidecar; `null` where it is not mounted or not readable. */
  readonly pgdata: string | null;
  /**
   * PGDATA relative to QUIESCE_DATA_DIR (`.` where it is the same folder); `null` where either is
   * unknown.
   */
  readonly relative: string | null;
  /** Why an atomic snapshot of one volume does not contain all of the data. */
  readonly refusal?: Refusal;
  /** Sentences on what could not be checked. */
  readonly notes: readonly string[];
  /** Sentences on data that is on the same device but not below QUIESCE_DATA_DIR. */
  readonly outside: readonly string[];
}

const SCAN_DEPTH = 3;

/** Asks the server where its data is, and inspects it. Reads only. */
export async function inspectServerLayout(
  session: Session,
  server: ServerFacts,
  dataDir: string | undefined,
  signal: AbortSignal,
): Promise<Layout> {
  const asked = await askLayout(session, server, dataDir, signal);
  return await unlessAborted(inspectLayout(asked), signal);
}

/** Asks the server where its data is. */
export async function askLayout(
  session: Session,
  server: ServerFacts,
  dataDir: string | undefined,
  signal: AbortSignal,
): Promise<LayoutInput> {
  const tablespaces = await session.query<Tablespace>(
    `SELECT t.oid::text AS oid, t.spcname::text AS name, pg_catalog.pg_tablespace_location(t.oid) AS location
       FROM pg_catalog.pg_tablespace t
      WHERE t.spcname NOT IN ('pg_default', 'pg_global') ORDER BY t.oid`,
    [],
    signal,
  );
  return {
    dataDir,
    reported: server.dataDirectory,
    systemIdentifier: server.systemIdentifier,
    major: server.major,
    redoSegment: walFileName(server.timeline, parseLsn(server.redoLsn), server.segmentSize),
    tablespaces,
  };
}

/**
 * Finds PGDATA and compares the devices of all its parts.
 *
 * @throws QuiesceError ENGINE_DATA_MISMATCH where QUIESCE_DATA_DIR holds another server's data, or
 * several copies of this one's.
 */
export async function inspectLayout(input: LayoutInput): Promise<Layout> {
  const notes: string[] = [];
  const pgdata = await findPgdata(input, notes);
  if (pgdata === null) {
    notes.push('PGDATA is not visible here: whether pg_wal is on the same volume was not checked.');
    return { pgdata, relative: null, notes, outside: [], ...refuseHidden(input) };
  }
  const relative =
    input.dataDir === undefined ? null : relativePath(await realpath(input.dataDir), pgdata) || '.';
  const located = { ...input, pgdata, relative, notes };
  const refusal = await checkVolumes(located);
  if (refusal) return { pgdata, relative, notes, outside: [], refusal };
  return { pgdata, relative, notes, outside: await noteOutside(located) };
}

/**
 * Where `pg_wal` is, as seen from the sidecar, if not on the volume of the data. `null` also where
 * it cannot be seen.
 */
export async function findWalOutside(
  session: Session,
  dataDir: string | undefined,
  signal: AbortSignal,
): Promise<string | null> {
  const server = await readServer(session, signal);
  const asked = await askLayout(session, server, dataDir, signal);
  // A failure here means another server's data, which only a freeze has to refuse.
  const layout = await inspectLayout(asked).catch(() => undefined);
  if (!layout?.pgdata) return null;
  const { pgdata, relative } = layout;
  const path = await findWal({ ...asked, pgdata, relative, notes: [] });
  if (isRefusal(path)) return null;
  const root = dataDir ?? pgdata;
  const apart = (await deviceOf(path)) !== (await deviceOf(root));
  return apart || (await isOutside(root, path)) ? path : null;
}

/** Where PGDATA is not visible, only the server's own list of tablespaces is known. */
function refuseHidden({ tablespaces, reported }: LayoutInput): { refusal?: Refusal } {
  const outside = tablespaces.find(
    ({ location }) =>
      location.startsWith('/') && (reported === null || !location.startsWith(`${reported}/`)),
  );
  if (!outside) return {};
  return {
    refusal: {
      message: `Tablespace ${outside.name} is at ${outside.location}, outside PGDATA, and the sidecar cannot see whether that is the same volume.`,
      hint: 'Mount the data volume into the sidecar and set QUIESCE_DATA_DIR; keep tablespaces on that volume.',
    },
  };
}

async function findPgdata(input: LayoutInput, notes: string[]): Promise<string | null> {
  const { dataDir, reported, systemIdentifier } = input;
  if (dataDir === undefined) {
    const found = reported === null ? undefined : await identify(reported);
    return found?.identifier === systemIdentifier ? found.path : null;
  }
  const root = await realpath(dataDir).catch(() => undefined);
  if (root === undefined) {
    notes.push(`QUIESCE_DATA_DIR ${dataDir} does not exist.`);
    return null;
  }
  const preferred = reported === null ? undefined : await identify(reported);
  if (preferred?.identifier === systemIdentifier && isInside(preferred.path, root))
    return preferred.path;
  const blocked: string[] = [];
  const found = await scan(root, SCAN_DEPTH, blocked);
  const ours = await theLiveOne(found.filter((entry) => entry.identifier === systemIdentifier));
  if (ours.length > 1) {
    throw mismatch(
      `several data directories of this server are under QUIESCE_DATA_DIR: ${ours.map((entry) => entry.path).join(', ')}. The sidecar cannot tell which one is live.`,
    );
  }
  if (ours[0]) return ours[0].path;
  const other = found[0];
  if (other) {
    throw mismatch(
      `${other.path} belongs to the server with system identifier ${other.identifier}, but the connected server has ${systemIdentifier}.`,
    );
  }
  const why = blocked.length > 0 ? ` (${blocked.join(', ')} cannot be read by this user)` : '';
  notes.push(`No PGDATA was found under QUIESCE_DATA_DIR ${dataDir}${why}.`);
  return null;
}

function mismatch(message: string): QuiesceError {
  return new QuiesceError('ENGINE_DATA_MISMATCH', message[0]?.toUpperCase() + message.slice(1));
}

interface Found {
  readonly path: string;
  readonly identifier: string;
}

/** Of several copies, the one with a lock file is the one that a server runs on. */
async function theLiveOne(found: readonly Found[]): Promise<readonly Found[]> {
  if (found.length < 2) return found;
  const live: Found[] = [];
  for (const entry of found) {
    if (await lstat(join(entry.path, 'postmaster.pid')).catch(() => undefined)) live.push(entry);
  }
  return live.length === 0 ? found : live;
}

async function identify(path: string): Promise<Found | undefined> {
  try {
    const real = await realpath(path);
    await readRegular(join(real, 'PG_VERSION'));
    return { path: real, identifier: await readSystemIdentifier(real) };
  } catch {
    return undefined;
  }
}

/** Every PGDATA at most `depth` folders below. Does not follow links, but enters other volumes. */
async function scan(folder: string, depth: number, blocked: string[]): Promise<Found[]> {
  const here = await identify(folder);
  if (here) return [here];
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? ''))
      blocked.push(folder);
    return [];
  });
  if (depth === 0) return [];
  const found: Found[] = [];
  for (const entry of entries) {
    if (!entry.isDirectory() || entry.name === '.quiesce' || isForeign(entry.name)) continue;
    found.push(...(await scan(join(folder, entry.name), depth - 1, blocked)));
  }
  return found;
}
