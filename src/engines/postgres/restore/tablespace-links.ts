import { lstat, readdir, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { describeErrno } from '../../../lib/durable-files.ts';
import { tablespaceEvidenceSchema } from '../receipt.ts';
import { evidenceIn } from '../freeze/open/tablespace-evidence.ts';
import { readIfThere } from '../../../lib/regular-file.ts';
import type { ReceiptClaims } from './receipt-claims.ts';
import { incomplete } from './errors.ts';

/** One line of a tablespace map. */
interface Mapped {
  readonly oid: string;
  readonly path: string;
}

/**
 * One line `OID path` for each tablespace; a backslash escapes newlines and backslashes of a path.
 */
function parseMap(map: string | null): Mapped[] {
  const lines = (map ?? '').match(/^\d+ (?:\\[^]|[^\\\n])+$/gm) ?? [];
  return lines.map((line) => {
    const [, oid = '', path = ''] = /^(\d+) ([^]*)$/.exec(line) ?? [];
    return { oid, path: path.replace(/\\([^])/g, '$1') };
  });
}

async function linkOf(pgdata: string, oid: string): Promise<string | undefined> {
  return await readlink(join(pgdata, 'pg_tblspc', oid)).catch(() => undefined);
}

/**
 * The tablespace map, with the path of each tablespace as its link in the copy has it. The server
 * makes the links again from the map at its first start. Where the volumes of a copy are mounted
 * elsewhere and the links were changed, the original map would lead back to the original's
 * tablespaces.
 */
export async function mapAsLinked(pgdata: string, map: string): Promise<string> {
  const lines: string[] = [];
  for (const { oid, path } of parseMap(map)) {
    const target = (await linkOf(pgdata, oid)) ?? path;
    lines.push(`${oid} ${target.replace(/[\\\n\r]/g, (character) => `\\${character}`)}\n`);
  }
  return lines.join('');
}

/**
 * Mode `open`: pg_wal and tablespaces may be on their own volumes. Each tablespace must carry the
 * evidence that its volume was cut while this backup was open. For WAL, the walk is the evidence.
 *
 * @throws QuiesceError `RESTORE_INCOMPLETE`.
 */
export async function checkVolumes(pgdata: string, claims: ReceiptClaims): Promise<void> {
  const { restore } = claims;
  const wal = join(pgdata, 'pg_wal');
  await realpath(wal).catch((error: unknown) => {
    throw incomplete(
      `${wal} leads nowhere (${describeErrno(error)}).`,
      'Mount the copy of the WAL volume where the link leads, or change the link.',
    );
  });
  const mapped = parseMap(restore.tablespaceMap);
  for (const { oid, path } of mapped) {
    await checkTablespace(claims, oid, (await linkOf(pgdata, oid)) ?? path);
  }
  const spaces = join(pgdata, 'pg_tblspc');
  for (const name of await readdir(spaces)) {
    const known = mapped.some(({ oid }) => oid === name);
    if (!known && (await lstat(join(spaces, name))).isSymbolicLink()) {
      throw incomplete(`Tablespace ${name} is not in the tablespace map of the receipt.`);
    }
  }
}

async function checkTablespace(
  { id, position }: ReceiptClaims,
  oid: string,
  path: string,
): Promise<void> {
  const text = await readIfThere(evidenceIn(path)).catch(() => null);
  let found: { id: string; startLsn: string } | undefined;
  try {
    found = tablespaceEvidenceSchema.safeParse(JSON.parse(text ?? 'null')).data;
  } catch {
    found = undefined;
  }
  if (found?.id === id && found.startLsn === position.startLsn) return;
  const why =
    found === undefined ? 'carries no evidence of a freeze' : `belongs to freeze ${found.id}`;
  throw incomplete(
    `The copy of tablespace ${oid} at ${path} ${why}, so it was not cut while ${id} was frozen.`,
    'Mount the copy that was cut between freeze and thaw; if it is mounted elsewhere, change the link in pg_tblspc.',
  );
}
