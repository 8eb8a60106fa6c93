import { constants, type Dirent } from 'node:fs';
import { access, lstat, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../../errors.ts';
import { isErrno } from '../../../../lib/durable-files.ts';
import { isDenied, isForeign, mayBeTheServers } from '../../../shared/foreign-entries.ts';
import { VOLUME_FOLDER } from '../../../../receipt/volume.ts';

/** What a base backup copies, relative to PGDATA; a folder comes before its content. */
export interface Sources {
  readonly folders: readonly { readonly path: string; readonly mode: number }[];
  readonly files: readonly { readonly path: string; readonly size: number }[];
  readonly links: readonly { readonly path: string; readonly target: string }[];
  readonly bytes: number;
  /** Entries in PGDATA that are not the server's and cannot be read. */
  readonly leftOut: readonly string[];
}

/** `excludeDirContents` of basebackup.c, and pg_wal, which is copied after the end of the backup. */
const EMPTIED = new Set([
  'pg_dynshmem',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_wal',
]);
/**
 * `excludeFiles` of basebackup.c, and what the start of an earlier backup left. pg_control is here
 * because it is copied last.
 */
const LEFT_OUT = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'backup_label',
  'tablespace_map',
  'backup_label.old',
  'tablespace_map.old',
  'backup_manifest',
  'global/pg_control',
]);
/** Temporary: a folder or file of a running sort, the relation cache, a temporary relation. */
const TEMPORARY = /^pgsql_tmp|^pg_internal\.init|^t\d+_\d+(_\w+)?(\.\d+)?$/;
const UNLOGGED_INIT = /^(\d+)_init(\.\d+)?$/;
const OTHER_FORK = /^(\d+)(_(?:fsm|vm))?(\.\d+)?$/;

/**
 * Lists what to copy, as `pg_basebackup` would (basebackup.c, "Base Backup" of the documentation).
 * Call it after the backup has started. Skips what vanishes meanwhile.
 *
 * @throws QuiesceError COPY_UNSUPPORTED for a link in place of data, because a copy cannot contain
 * its target; the system's error for an entry that cannot be read and may be the server's.
 */
export async function listSources(pgdata: string): Promise<Sources> {
  const found = {
    folders: [] as { path: string; mode: number }[],
    files: [] as { path: string; size: number }[],
    links: [] as { path: string; target: string }[],
    bytes: 0,
    leftOut: [] as string[],
  };
  const owner = await stat(pgdata);
  const visit = async (folder: string): Promise<void> => {
    const entries = await list(join(pgdata, folder));
    const unlogged = unloggedIn(entries);
    for (const entry of entries) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (isLeftOut(path, entry.name, unlogged)) continue;
      await take(path);
    }
  };
  const take = async (path: string): Promise<void> => {
    const info = await lstat(join(pgdata, path)).catch(ignoreGone);
    if (info === undefined) return;
    if (!holdsData(path) && !mayBeTheServers(info, owner) && (await isClosed(join(pgdata, path)))) {
      found.leftOut.push(path);
      return;
    }
    if (info.isDirectory() || path === 'pg_wal') {
      found.folders.push({ path, mode: info.isDirectory() ? info.mode & 0o7777 : 0o700 });
      if (!EMPTIED.has(path)) await visit(path);
    } else if (info.isFile()) {
      found.files.push({ path, size: info.size });
      found.bytes += info.size;
    } else if (info.isSymbolicLink()) {
      const target = await readlink(join(pgdata, path));
      if (holdsData(path)) throw linked(path, target);
      found.links.push({ path, target });
    }
  };
  await visit('');
  return found;
}

function isLeftOut(path: string, name: string, unlogged: ReadonlySet<string>): boolean {
  if (LEFT_OUT.has(path) || isVolumeEntry(path) || TEMPORARY.test(name)) return true;
  const relation = OTHER_FORK.exec(name)?.[1];
  return relation !== undefined && unlogged.has(relation);
}

/** Entries at the root of a volume, which are in PGDATA where PGDATA is that root. */
function isVolumeEntry(path: string): boolean {
  return path === VOLUME_FOLDER || isForeign(path);
}

async function isClosed(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(() => false, isDenied);
}

function unloggedIn(entries: readonly Dirent[]): Set<string> {
  return new Set(
    entries.flatMap(({ name }) => {
      const relation = UNLOGGED_INIT.exec(name)?.[1];
      return relation === undefined ? [] : [relation];
    }),
  );
}

/**
 * Whether the path holds data. Links to configuration or logs are copied as links; data behind a
 * link would not be in the copy.
 */
function holdsData(path: string): boolean {
  if (path.includes('/')) return /^(base|global|pg_)/.test(path);
  return /^(base|global|pg_(?!hba\.conf$|ident\.conf$|log$))/.test(path);
}

function linked(path: string, target: string): QuiesceError {
  const what = path.startsWith('pg_tblspc/') ? 'A tablespace' : 'Data';
  return new QuiesceError(
    'COPY_UNSUPPORTED',
    `${what} is behind a link, ${path} to ${target}: a staged backup contains only PGDATA itself.`,
    {
      hint: 'Move it into PGDATA, or use CSI snapshots and set QUIESCE_COPY=snapshot.',
      field: 'QUIESCE_COPY',
    },
  );
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** For a file dropped meanwhile: WAL replays what became of it. */
export function ignoreGone(error: unknown): undefined {
  if (isErrno(error, 'ENOENT')) return undefined;
  throw error;
}
