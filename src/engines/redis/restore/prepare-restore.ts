import { open, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../errors.ts';
import { isMissing } from '../../../lib/durable-files.ts';
import type { Receipt } from '../../../receipt/receipt.ts';
import type { PrepareOptions, PrepareOutcome } from '../../restore-module.ts';
import { invalid } from '../../shared/promised.ts';
import { keepPrepared, outcomeOf, preparedNow, wasPrepared } from '../../shared/prepared-copy.ts';
import { contentDigest } from '../data-dir/content-digests.ts';
import { COMPARED_WHOLE, type Fingerprint, fingerprintOf } from '../data-dir/fingerprint.ts';
import { parseManifest, readAof } from '../data-dir/data-files.ts';
import { namesOf, type ReceiptClaims, claimsIn } from '../receipt.ts';
import { isSame } from '../verify/verify.ts';
import { checkContent } from './check-content.ts';

/**
 * Proves that the copy has every file that the server needs, with the same length and the same content
 * as at the freeze, and that no server has written to it since. Nothing has to be put in
 * place: Redis starts from these files, if it is configured with the same kind of persistence.
 *
 * @throws QuiesceError RESTORE_INCOMPLETE, RESTORE_DATA_PAST, RESTORE_SERVER_RUNNING
 */
export async function prepareRestore(
  receipt: Receipt,
  dataDir: string,
  options: PrepareOptions,
  signal: AbortSignal,
): Promise<PrepareOutcome> {
  const promised = claimsIn(receipt, invalid);
  const dir = join(dataDir, promised.restore.dir ?? '');
  const { files, persistence } = promised.restore;
  const { dryRun } = options;
  const before = await wasPrepared(dataDir, receipt.id);
  let unproven: readonly string[] = [];
  if (!before) {
    await refuseRunning(dir);
    await proveFiles(promised, dir);
    unproven = await proveContents(promised, dir, options, signal);
    if (!dryRun) await keepPrepared(dataDir, preparedNow(receipt.id));
  }
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const copy = { dryRun, id: receipt.id, engine: receipt.engine.name, dataDirectory: dir };
  return outcomeOf(copy, {
    outcome: before ? 'already-prepared' : 'prepared',
    proof: { files: files.length, bytes, persistence, framed: unproven.length },
    notes: [...unproven.map(framedNote), ...(await startNotes(promised, dir))],
    message: before
      ? `An earlier run proved this copy of freeze ${receipt.id}; a server may have run on it since.`
      : `The copy holds all ${files.length} files of freeze ${receipt.id}, complete; nothing had to be put in place.`,
  });
}

async function proveFiles(promised: ReceiptClaims, dir: string): Promise<void> {
  const { files, persistence } = promised.restore;
  if (files.length === 0) {
    throw incomplete(
      'The receipt lists no files, because the volume was not mounted at the freeze, so the copy cannot be proven.',
    );
  }
  for (const then of files) {
    const size = await stat(join(dir, then.name)).then(
      ({ size }) => size,
      (error: unknown) => {
        if (isMissing(error)) return null;
        throw error;
      },
    );
    if (size === null) await refuseMissing(promised, dir, then);
    else if (size < then.size)
      throw incomplete(`${then.name} has only ${size} of ${then.size} bytes.`);
    else if (size > then.size)
      throw past(`${then.name} has ${size} bytes; it had ${then.size} at the freeze.`);
    else if (!isSame(then, await fingerprintOf(dir, then.name, then.size))) {
      throw incomplete(
        `${then.name} is not the file of the freeze: it has the same length but other content.`,
      );
    }
  }
  if (persistence === 'rdb') await proveRdb(dir, promised.restore.dbfilename);
  else await proveNothingMore(promised, dir);
}

/**
 * Reads all of every file: its beginning and its end alone do not show a hole between them.
 *
 * @returns the files of which only the form could be checked.
 */
async function proveContents(
  { restore: { files, dbfilename } }: ReceiptClaims,
  dir: string,
  { onProgress }: PrepareOptions,
  signal: AbortSignal,
): Promise<string[]> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const framed: string[] = [];
  let done = 0;
  for (const then of files) {
    onProgress?.({ step: 'files', done, total, unit: 'bytes' });
    const isAof = then.name !== dbfilename && !then.name.endsWith('.base.rdb');
    if (await isFramedOnly({ file: then, isAof, dir }, signal)) framed.push(then.name);
    done += then.size;
  }
  return framed;
}

interface ContentOf {
  readonly file: Fingerprint;
  readonly isAof: boolean;
  readonly dir: string;
}

async function isFramedOnly(
  { file, isAof, dir }: ContentOf,
  signal: AbortSignal,
): Promise<boolean> {
  const { name, size, sha256 } = file;
  if (sha256 !== undefined) {
    if ((await contentDigest(dir, file, signal)) === sha256) return false;
    throw incomplete(
      `${name} is damaged: its length and both ends are those of the freeze, but not its content.`,
    );
  }
  if (size <= COMPARED_WHOLE) return false;
  const content = await checkContent(join(dir, name), isAof, signal);
  if (typeof content === 'object') throw incomplete(`${name} is damaged: ${content.damage}.`);
  return content === 'framed';
}

function framedNote(name: string): string {
  return `Damage to the values in ${name} cannot be excluded: it has no checksum, and the freeze had too little time to keep a digest. Its length, both ends and the form of its content are right.`;
}

/** If a file of the AOF is missing and an unknown one is present, a server has rewritten the AOF. */
async function refuseMissing(
  promised: ReceiptClaims,
  dir: string,
  then: Fingerprint,
): Promise<never> {
  const names = namesOf(promised);
  const now = promised.restore.persistence === 'rdb' ? null : await readAof(dir, names);
  const known = new Set(promised.restore.files.map(({ name }) => name));
  if (now?.some(({ name }) => !known.has(name)))
    throw past(`${then.name} was replaced by a rewrite.`);
  throw incomplete(`${then.name} is missing.`);
}

/** The manifest, already proven unchanged, lists what the server will load: each of these must be proven. */
async function proveNothingMore({ restore }: ReceiptClaims, dir: string): Promise<void> {
  const manifest = restore.files.find(({ name }) => name.endsWith('.manifest'));
  if (!manifest) return;
  const file = await open(join(dir, manifest.name), 'r');
  try {
    const parts = parseManifest(await file.readFile('utf8')) ?? [];
    const known = new Set(restore.files.map(({ name }) => name));
    const more = parts.find((part) => !known.has(join(restore.appenddirname ?? '', part)));
    if (more !== undefined)
      throw incomplete(`The manifest lists ${more}, which is not in the receipt.`);
  } finally {
    await file.close();
  }
}

/** A complete RDB file ends with the byte 0xFF and a checksum (source: rdb.c); a truncated one does not. */
async function proveRdb(dir: string, name: string): Promise<void> {
  const file = await open(join(dir, name), 'r');
  try {
    const { size } = await file.stat();
    const start = Buffer.alloc(9);
    const end = Buffer.alloc(9);
    await file.read(start, 0, 9, 0);
    await file.read(end, 0, 9, Math.max(0, size - 9));
    const magic = /^(?:REDIS\d{4}|VALKEY\d{3})$/.test(start.toString('latin1'));
    if (!magic || end[0] !== 0xff) throw incomplete(`${name} is not a complete RDB file.`);
  } finally {
    await file.close();
  }
}

/** With the other kind of persistence the server starts EMPTY (or with old data) and overwrites the copy. */
async function startNotes({ restore }: ReceiptClaims, dir: string): Promise<string[]> {
  if (restore.persistence === 'rdb') {
    return [
      'START THE SERVER WITH appendonly no, as before: with appendonly yes it ignores this RDB file, starts EMPTY, and overwrites the file at its next save. To turn on the AOF, start it as before and run CONFIG SET appendonly yes.',
    ];
  }
  const old = await stat(join(dir, restore.dbfilename)).then(
    () => true,
    () => false,
  );
  const otherwise = old ? `loads the older ${restore.dbfilename}` : 'starts EMPTY';
  return [
    `START THE SERVER WITH appendonly yes, as before: with appendonly no it ${otherwise} and ignores this AOF.`,
  ];
}

/** A server's working directory is its data directory. Finds only servers whose processes are visible here. */
async function refuseRunning(dir: string): Promise<void> {
  for (const pid of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(pid)) continue;
    const [cwd, exe] = await Promise.all(
      ['cwd', 'exe'].map((link) => readlink(`/proc/${pid}/${link}`).catch(() => '')),
    );
    if (cwd !== dir || !/(?:redis|valkey)/.test(exe ?? '')) continue;
    throw new QuiesceError('RESTORE_SERVER_RUNNING', `A server (process ${pid}) runs on ${dir}.`);
  }
}

function incomplete(why: string): QuiesceError {
  return new QuiesceError('RESTORE_INCOMPLETE', why);
}

function past(why: string): QuiesceError {
  return new QuiesceError('RESTORE_DATA_PAST', `A server has already written to this copy: ${why}`);
}
