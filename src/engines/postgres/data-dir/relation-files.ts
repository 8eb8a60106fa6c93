import { type Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../lib/durable-files.ts';
import { type RelationKey, relationKey } from '../wal/block-refs.ts';

/** Object ids of the two tablespaces that every server has. */
export const DEFAULT_SPACE = 1663;
export const GLOBAL_SPACE = 1664;

/** Forks as WAL numbers them, by the ending of their files. */
const FORKS: Readonly<Record<string, number>> = { '': 0, _fsm: 1, _vm: 2, _init: 3 };
export const MAIN_FORK = 0;
export const FSM_FORK = 1;
export const VM_FORK = 2;
const INIT_FORK = 3;

/** Temporary relations (`t3_16385`) do not match. */
const RELATION_FILE = /^(\d+)(_fsm|_vm|_init)?(?:\.(\d+))?$/;

export interface SegmentFile {
  /** Relative to PGDATA. */
  readonly path: string;
  readonly segment: number;
  /** Bytes. */
  readonly size: number;
}

/** The files of one relation, by fork; segments in ascending order. */
export interface RelationFiles {
  readonly key: RelationKey;
  readonly forks: ReadonlyMap<number, readonly SegmentFile[]>;
  /** Its pages carry no positions, and a restart empties it. */
  readonly unlogged: boolean;
}

/** A folder of relation files, `global` or one of a database in a tablespace. */
interface DatabaseFolder {
  /** Relative to PGDATA. */
  readonly path: string;
  readonly space: number;
  readonly database: number;
}

/** Where the files of a database are in a tablespace; `undefined` where the tablespace has none. */
export async function databaseFolder(
  pgdata: string,
  major: number,
  space: number,
  database: number,
): Promise<string | undefined> {
  if (space === GLOBAL_SPACE) return 'global';
  if (space === DEFAULT_SPACE) return `base/${database}`;
  const version = await versionFolder(pgdata, major, String(space));
  return version === undefined ? undefined : `${version}/${database}`;
}

/** All permanent and unlogged relations of the data directory. */
export async function listRelations(
  pgdata: string,
  major: number,
): Promise<Map<RelationKey, RelationFiles>> {
  const found = new Map<RelationKey, RelationFiles>();
  for (const folder of await databaseFolders(pgdata, major)) {
    for (const relation of await relationsIn(pgdata, folder)) found.set(relation.key, relation);
  }
  return found;
}

async function databaseFolders(pgdata: string, major: number): Promise<DatabaseFolder[]> {
  const folders: DatabaseFolder[] = [{ path: 'global', space: GLOBAL_SPACE, database: 0 }];
  const add = async (path: string, space: number): Promise<void> => {
    for (const name of await numbered(join(pgdata, path))) {
      folders.push({ path: `${path}/${name}`, space, database: Number(name) });
    }
  };
  await add('base', DEFAULT_SPACE);
  for (const space of await numbered(join(pgdata, 'pg_tblspc'))) {
    const version = await versionFolder(pgdata, major, space);
    if (version !== undefined) await add(version, Number(space));
  }
  return folders;
}

/** `pg_tblspc/OID/PG_VERSION_CATALOG`. An upgrade may have left the folder of an older version. */
async function versionFolder(
  pgdata: string,
  major: number,
  space: string,
): Promise<string | undefined> {
  const names = (await entries(join(pgdata, 'pg_tblspc', space))).map(({ name }) => name);
  const name = names.find((one) => one.startsWith(`PG_${major}_`));
  return name === undefined ? undefined : `pg_tblspc/${space}/${name}`;
}

async function relationsIn(pgdata: string, folder: DatabaseFolder): Promise<RelationFiles[]> {
  const found = new Map<number, Map<number, SegmentFile[]>>();
  for (const entry of await entries(join(pgdata, folder.path))) {
    const match = entry.isFile() ? RELATION_FILE.exec(entry.name) : null;
    if (match === null) continue;
    const file = Number(match[1]);
    const fork = FORKS[match[2] ?? ''] as number;
    const path = `${folder.path}/${entry.name}`;
    const { size } = await stat(join(pgdata, path));
    const forks = found.get(file) ?? new Map<number, SegmentFile[]>();
    found.set(file, forks);
    const segments = forks.get(fork) ?? [];
    forks.set(fork, segments);
    segments.push({ path, segment: Number(match[3] ?? 0), size });
  }
  return [...found].map(([file, forks]) => {
    for (const segments of forks.values()) segments.sort((a, b) => a.segment - b.segment);
    const key = relationKey(folder.space, folder.database, file);
    return { key, forks, unlogged: forks.has(INIT_FORK) };
  });
}

async function numbered(folder: string): Promise<string[]> {
  return (await entries(folder)).map(({ name }) => name).filter((name) => /^\d+$/.test(name));
}

async function entries(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
    throw error;
  }
}

/** Blocks that a server finds in a fork: it stops at the first segment that is not full. */
export function blocksOf(
  segments: readonly SegmentFile[] | undefined,
  blockSize: number,
  segmentBlocks: number,
): number {
  let blocks = 0;
  for (const [index, { segment, size }] of (segments ?? []).entries()) {
    if (segment !== index) return blocks;
    const own = Math.min(Math.floor(size / blockSize), segmentBlocks);
    blocks += own;
    if (own < segmentBlocks) return blocks;
  }
  return blocks;
}
