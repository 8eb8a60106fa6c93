import { join } from 'node:path';
import { openRegular } from '../../../lib/regular-file.ts';
import { type RelationKey, relationKey } from '../wal/block-refs.ts';
import { forEachItem, readRowVersion, type RowVersion } from './heap-page.ts';
import { isNew } from './page.ts';
import { GLOBAL_SPACE, MAIN_FORK, type RelationFiles } from './relation-files.ts';
import type { TransactionStatus } from './slru.ts';

/** Object ids of catalogs, and of the access methods whose pages are understood. */
export const PG_DATABASE = 1262;
export const PG_CLASS = 1259;
const PG_INDEX = 2610;
export const HEAP = 2;
export const BTREE = 403;
export const HASH = 405;

export interface LiveDatabase {
  readonly oid: number;
  readonly name: string;
  /** Its default tablespace. */
  readonly space: number;
}

/** A relation that a committed row of `pg_class` names, and that no row says is gone. */
export interface LiveRelation {
  readonly key: RelationKey;
  readonly oid: number;
  readonly name: string;
  /** `r` table, `t` TOAST table, `m` materialised view, `i` index, `S` sequence. */
  readonly kind: string;
  /** Object id of its access method; 0 for a sequence. */
  readonly access: number;
  readonly permanent: boolean;
  /** Of an index: the table, if that is certain too. */
  readonly indexed: RelationKey | null;
}

export interface CatalogSource {
  readonly pgdata: string;
  readonly major: number;
  readonly blockSize: number;
  readonly files: ReadonlyMap<RelationKey, RelationFiles>;
  readonly status: TransactionStatus;
}

/**
 * Reads the rows of `pg_database` that are certain: their transaction committed, and none has
 * deleted them. The pages are as the last checkpoint wrote them, or newer.
 */
export async function readDatabases(source: CatalogSource, file: number): Promise<LiveDatabase[]> {
  const found = new Map<number, LiveDatabase>();
  // 15 made the columns before it shorter (pg_database.h).
  const [limitAt, spaceAt] = source.major >= 15 ? [80, 92] : [208, 224];
  await forEachRow(source, relationKey(GLOBAL_SPACE, 0, file), (bytes, row) => {
    if (row.end < row.data + spaceAt + 4) return;
    // Its drop was interrupted, and some of its files are gone (DATCONNLIMIT_INVALID_DB).
    if (bytes.readInt32LE(row.data + limitAt) === -2) return;
    const oid = bytes.readUInt32LE(row.data);
    const name = readName(bytes, row.data + 4);
    found.set(oid, { oid, name, space: bytes.readUInt32LE(row.data + spaceAt) });
  });
  return [...found.values()];
}

/**
 * The same for `pg_class` of one database, with the tables of its indexes. Leaves out an index that is
 * not valid: a concurrent build writes its pages past the buffers while its row is committed already.
 */
export async function readRelations(
  source: CatalogSource,
  database: LiveDatabase,
  maps: { readonly own: ReadonlyMap<number, number>; readonly global: ReadonlyMap<number, number> },
): Promise<LiveRelation[]> {
  const found: LiveRelation[] = [];
  const classFile = maps.own.get(PG_CLASS) ?? 0;
  await forEachRow(source, relationKey(database.space, database.oid, classFile), (bytes, row) => {
    const relation = readClassRow(source.major, database, maps, bytes, row);
    if (relation !== undefined) found.push(relation);
  });
  const tables = new Map(found.map(({ oid, key }) => [oid, key]));
  const indexed = new Map<number, RelationKey | null>();
  const indexes = found.find(({ oid }) => oid === PG_INDEX);
  // 15 has one more column before it (pg_index.h). One that is not valid may be empty, or point at
  // rows that are long gone.
  const validAt = source.major >= 15 ? 18 : 17;
  await forEachRow(source, indexes?.key ?? '', (bytes, { data, end }) => {
    if (end <= data + validAt || bytes[data + validAt] !== 1) return;
    indexed.set(bytes.readUInt32LE(data), tables.get(bytes.readUInt32LE(data + 4)) ?? null);
  });
  return found
    .filter(({ kind, oid }) => kind !== 'i' || indexed.has(oid))
    .map((one) => ({ ...one, indexed: indexed.get(one.oid) ?? null }));
}

function readClassRow(
  major: number,
  database: LiveDatabase,
  maps: { readonly own: ReadonlyMap<number, number>; readonly global: ReadonlyMap<number, number> },
  bytes: Buffer,
  { data, end }: RowVersion,
): LiveRelation | undefined {
  if (end < data + 120) return undefined;
  const number = (at: number): number => bytes.readUInt32LE(data + at);
  // 18 has one more column before them (pg_class.h).
  const flags = data + (major >= 18 ? 117 : 113);
  const shared = bytes[flags] === 1;
  const kind = String.fromCharCode(bytes[flags + 2] as number);
  const persistence = String.fromCharCode(bytes[flags + 1] as number);
  const oid = number(0);
  const mapped = (shared ? maps.global : maps.own).get(oid);
  const file = number(88) === 0 ? mapped : number(88);
  if (file === undefined || file === 0 || !'rtmiS'.includes(kind) || persistence === 't') {
    return undefined;
  }
  const space = shared ? GLOBAL_SPACE : number(92) === 0 ? database.space : number(92);
  return {
    key: relationKey(space, shared ? 0 : database.oid, file),
    oid,
    name: readName(bytes, data + 4),
    kind,
    access: number(84),
    permanent: persistence === 'p',
    indexed: null,
  };
}

function readName(bytes: Buffer, at: number): string {
  return bytes.toString('utf8', at, at + 64).replace(/\0.*$/s, '');
}

const CHUNK_PAGES = 32;

/** Calls back for each row that is certain. A table that is not there has none. */
async function forEachRow(
  { pgdata, blockSize, files, status }: CatalogSource,
  key: RelationKey,
  visit: (bytes: Buffer, row: RowVersion) => void,
): Promise<void> {
  const buffer = Buffer.alloc(CHUNK_PAGES * blockSize);
  for (const { path } of files.get(key)?.forks.get(MAIN_FORK) ?? []) {
    const file = await openRegular(join(pgdata, path));
    try {
      for (let position = 0; ; position += buffer.length) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
        for (let page = 0; page + blockSize <= bytesRead; page += blockSize) {
          if (isNew(buffer, page)) continue;
          forEachItem(buffer, page, blockSize, (at, length) => {
            const row = readRowVersion(buffer, at, length);
            if (row !== undefined && isCertain(row, status)) visit(buffer, row);
          });
        }
        if (bytesRead < buffer.length) break;
      }
    } finally {
      await file.close();
    }
  }
}

function isCertain(row: RowVersion, status: TransactionStatus): boolean {
  return row.untouched && (row.frozen || row.hinted || status.committed(row.xmin));
}
