import { readIfThere } from '../../../../lib/regular-file.ts';
import { join } from 'node:path';
import {
  type CatalogSource,
  type LiveDatabase,
  type LiveRelation,
  PG_CLASS,
  PG_DATABASE,
  readDatabases,
  readRelations,
} from '../../data-dir/catalog.ts';
import { databaseFolder, MAIN_FORK, GLOBAL_SPACE } from '../../data-dir/relation-files.ts';
import { readRelationMap } from '../../data-dir/relation-map.ts';
import { type RelationKey, relationKey } from '../../wal/block-refs.ts';
import { findBrokenFiles, type FileShape } from './files.ts';

/** The relations of a copy whose pages can be judged. */
export type KnownRelations = ReadonlyMap<RelationKey, LiveRelation>;

export interface Catalogs {
  readonly relations: KnownRelations;
  /** Those that existed when WAL began, also where WAL changes their size or drops them. */
  readonly certain: ReadonlySet<RelationKey>;
  /** What is wrong with the files of one of them, or `null`. */
  readonly broken: string | null;
}

/**
 * Reads the catalogs of all databases from the copy's files, and looks at the files of every
 * relation in them. Only what is certain is in the result: rows whose transaction committed, of
 * databases and relations that WAL does not make, move or drop.
 */
export async function readCatalogs(
  source: CatalogSource,
  shape: FileShape,
  signal: AbortSignal,
): Promise<Catalogs> {
  const found = {
    relations: new Map<RelationKey, LiveRelation>(),
    certain: new Set<RelationKey>(),
  };
  const global = await readRelationMap(source.pgdata, 'global', source.major);
  if (typeof global === 'string') return { ...found, broken: global };
  let broken: string | null = null;
  const databaseFile = global.get(PG_DATABASE) ?? 0;
  const key = relationKey(GLOBAL_SPACE, 0, databaseFile);
  if (isLost(source, shape, key)) {
    broken = `global/${databaseFile}, the file of the catalog pg_database, is missing or empty`;
  }
  for (const database of await readDatabases(source, databaseFile)) {
    signal.throwIfAborted();
    if (!shape.window.judges(relationKey(database.space, database.oid, 0))) continue;
    broken = (await readDatabase(source, shape, database, global, found)) ?? broken;
  }
  return { ...found, broken };
}

async function readDatabase(
  source: CatalogSource,
  shape: FileShape,
  database: LiveDatabase,
  global: ReadonlyMap<number, number>,
  into: {
    readonly relations: Map<RelationKey, LiveRelation>;
    readonly certain: Set<RelationKey>;
  },
): Promise<string | null> {
  const { pgdata, major, files } = source;
  const what = `database ${database.name} (${database.oid})`;
  const folder = await databaseFolder(pgdata, major, database.space, database.oid);
  if (folder === undefined)
    return `The tablespace ${database.space} of ${what} has no folder of it`;
  const version = await readIfThere(join(pgdata, folder, 'PG_VERSION'));
  if (version === null) return `${folder}/PG_VERSION of ${what} is missing`;
  if (Number.parseInt(version, 10) !== major) {
    return `${folder}/PG_VERSION of ${what} does not say ${major}`;
  }
  const mapped = await readRelationMap(pgdata, folder, major);
  if (typeof mapped === 'string') return `${mapped}: it belongs to ${what}`;
  const classes = relationKey(database.space, database.oid, mapped.get(PG_CLASS) ?? 0);
  if (isLost(source, shape, classes)) {
    return `${folder}/${mapped.get(PG_CLASS)}, the catalog pg_class of ${what}, is missing or empty`;
  }
  let broken: string | null = null;
  for (const relation of await readRelations(source, database, { own: mapped, global })) {
    const { key } = relation;
    if (!shape.window.created(key)) into.certain.add(key);
    if (!relation.permanent || !shape.window.judges(key) || into.relations.has(key)) continue;
    into.relations.set(key, relation);
    if (broken !== null) continue;
    const own = files.get(key);
    const path = own?.forks.get(MAIN_FORK)?.[0]?.path ?? (await pathOf(pgdata, major, key));
    broken = await findBrokenFiles(shape, relation, path, own);
  }
  return broken;
}

/**
 * Whether the file of a catalog is not there, or empty, although it was written before WAL began. One
 * that was rewritten since then is only in WAL until the next checkpoint (17+: bulk_write.c).
 */
function isLost(
  { files, blockSize }: CatalogSource,
  { window }: FileShape,
  key: RelationKey,
): boolean {
  const size = files.get(key)?.forks.get(MAIN_FORK)?.[0]?.size ?? 0;
  return size < blockSize && window.judges(key);
}

async function pathOf(pgdata: string, major: number, key: RelationKey): Promise<string> {
  const [space = 0, database = 0, file = 0] = key.split('/').map(Number);
  const folder = await databaseFolder(pgdata, major, space, database);
  return `${folder ?? `pg_tblspc/${space}`}/${file}`;
}
