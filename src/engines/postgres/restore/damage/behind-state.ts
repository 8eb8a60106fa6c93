import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../../lib/durable-files.ts';
import type { ControlFile } from '../../data-dir/control-file.ts';
import { readBytes } from '../../data-dir/relation-map.ts';
import { databaseFolder } from '../../data-dir/relation-files.ts';
import { membersPerPage, memberAt, Slru, type TransactionStatus } from '../../data-dir/slru.ts';
import { isOlder } from '../../wal/window.ts';
import type { Written } from '../../wal/written.ts';

const isHex = /^[0-9A-F]+$/;

interface Source {
  readonly pgdata: string;
  readonly major: number;
  readonly control: ControlFile;
  readonly status: TransactionStatus;
  /** Older transactions have no status any more. */
  readonly oldestXid: number;
}

/**
 * What the checkpoint in pg_control has written besides pages, and the copy lacks. A file that is not
 * there at all is the concern of other checks, or was removed since.
 *
 * @returns what is behind, or `null`.
 */
export async function findBehindState(source: Source, written: Written): Promise<string | null> {
  return (
    findCommit(source, written) ??
    findMulti(source, written) ??
    (await findPrepared(source, written)) ??
    (await findMap(source, written))
  );
}

function findCommit({ status, oldestXid }: Source, { state }: Written): string | null {
  for (const xid of state.commits) {
    const page = Math.floor(xid / status.perPage);
    if (isOlder(xid, oldestXid) || status.log.page(page) === undefined) continue;
    if (status.committed(xid)) continue;
    return `${status.log.nameOf(page)} does not know that transaction ${xid} committed`;
  }
  return null;
}

function findMulti({ pgdata, control }: Source, { state }: Written): string | null {
  const { blockSize, oldestMulti } = control;
  const offsets = new Slru(pgdata, 'pg_multixact/offsets', blockSize);
  const members = new Slru(pgdata, 'pg_multixact/members', blockSize);
  for (const multi of state.multis.between(0, Infinity)) {
    if (isOlder(multi, oldestMulti)) continue;
    const offset = state.multis.get(multi);
    const page = Math.floor((multi * 4) / blockSize);
    const entry = offsets.page(page)?.readUInt32LE((multi * 4) % blockSize);
    if (entry !== undefined && entry !== offset) {
      return `${offsets.nameOf(page)} does not know multixact ${multi}`;
    }
    const list = Math.floor(offset / membersPerPage(blockSize));
    const bytes = members.page(list);
    if (bytes !== undefined && bytes.readUInt32LE(memberAt(offset, blockSize)) === 0) {
      return `${members.nameOf(list)} does not know the members of multixact ${multi}`;
    }
  }
  return null;
}

async function findPrepared({ pgdata }: Source, { state }: Written): Promise<string | null> {
  if (state.prepared.size === 0) return null;
  const names = (await readdir(join(pgdata, 'pg_twophase'))).filter((name) => isHex.test(name));
  // 17 puts the epoch before the transaction's number.
  const there = new Set(names.map((name) => Number.parseInt(name.slice(-8), 16)));
  for (const xid of state.prepared) {
    if (!there.has(xid)) return `pg_twophase does not have the prepared transaction ${xid}`;
  }
  return null;
}

async function findMap({ pgdata, major }: Source, written: Written): Promise<string | null> {
  for (const { space, database, contents } of written.state.maps.values()) {
    const folder = await databaseFolder(pgdata, major, space, database);
    if (folder === undefined || written.pages.isDropped(database)) continue;
    const name = `${folder}/pg_filenode.map`;
    try {
      const bytes = await readBytes(join(pgdata, name), contents[0]?.length ?? 0);
      if (contents.some((content) => content.equals(bytes))) continue;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) continue;
      throw error;
    }
    return `${name} does not have the last change of a catalog’s file`;
  }
  return null;
}
