import { join } from 'node:path';
import type { Receipt } from '../../../receipt/receipt.ts';
import type { VerifyCheck, VerifyOptions, VerifyResult } from '../../engine.ts';
import { type Fingerprint, fingerprintOf } from '../data-dir/synced-files.ts';
import { type ReceiptClaims, claimsIn } from '../receipt.ts';
import { numberOf } from '../connection/replies.ts';
import { digestOf } from '../freeze/key-sample.ts';
import { keyCounts, readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import { isMissing } from '../../../lib/durable-files.ts';

/**
 * Does the running server contain what the receipt promises? It may have gone on since: more keys are
 * no difference, fewer are.
 *
 * @throws QuiesceError INVALID_FIELD for a receipt of another engine or of no hold; ENGINE_…
 */
export async function verifyReceipt(
  session: Session,
  dataDir: string | undefined,
  receipt: Receipt,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifyResult> {
  const promised = claimsIn(receipt);
  const server = await readServer(session, signal);
  const checks: VerifyCheck[] = [
    checkPersistence(promised, server),
    ...checkKeys(promised, server),
    ...checkHistory(promised, server),
    checkState(promised, server),
    ...(dataDir === undefined ? [] : await checkFiles(promised, server, dataDir)),
    ...(options.deep ? await checkSample(promised, session, signal) : []),
  ];
  return { verified: checks.every(({ ok }) => ok), checks };
}

/** A server that is told to use the other kind of persistence begins EMPTY, or with an old state. */
function checkPersistence({ restore }: ReceiptClaims, { info }: ServerFacts): VerifyCheck {
  const expected = restore.persistence === 'rdb' ? 'no' : 'yes';
  const found = info.get('aof_enabled') === '1' ? 'yes' : 'no';
  const message =
    expected === found
      ? `appendonly is ${found}, as it was.`
      : `appendonly was ${expected} and is ${found} now: the server has not loaded the data of this backup. Stop it without a save (SHUTDOWN NOSAVE), restore the volume again, and start it with appendonly ${expected}.`;
  return { name: 'persistence', ok: expected === found, expected, found, message };
}

function checkKeys({ position }: ReceiptClaims, { info }: ServerFacts): VerifyCheck[] {
  const found = keyCounts(info);
  const names = Object.keys(position.databases);
  const empty = names.length > 0 && Object.keys(found).length === 0;
  // Those that expire before a start are counted apart, from 7.0 on.
  const expired =
    (numberOf(info, 'expired_keys') ?? 0) + (numberOf(info, 'rdb_last_load_keys_expired') ?? 0);
  if (names.length === 0) {
    return [{ name: 'keys', ok: true, message: 'There were no keys at the freeze.' }];
  }
  return names.map((name) => {
    const before = position.databases[name] ?? { keys: 0, expires: 0 };
    const now = found[name] ?? { keys: 0, expires: 0 };
    // Those with a time to live may have gone by themselves since.
    const lasting = before.keys - before.expires;
    const left = now.keys - now.expires;
    // That all have expired is believed only of a server that has seen some expire.
    const ok = left >= lasting && !(empty && before.keys > 0 && expired === 0);
    return {
      name: `keys ${name}`,
      ok,
      expected: before,
      found: now,
      message: keysMessage(name, { before, now, lasting, left }, empty && !ok),
    };
  });
}

interface Counts {
  readonly before: { readonly keys: number; readonly expires: number };
  readonly now: { readonly keys: number; readonly expires: number };
  readonly lasting: number;
  readonly left: number;
}

function keysMessage(name: string, { before, now, lasting, left }: Counts, empty: boolean): string {
  if (empty) {
    return `The server is EMPTY; ${name} had ${before.keys} keys. Stop it without a save (SHUTDOWN NOSAVE) before it writes over what was restored.`;
  }
  if (left < lasting)
    return `${name} lacks ${lasting - left} of ${lasting} keys without a time to live: they are missing, or were deleted since.`;
  const gone = before.keys - now.keys;
  if (left > lasting)
    return `${name} has all ${lasting} keys without a time to live, or as many, and ${left - lasting} more.`;
  return gone > 0
    ? `${name} has its ${lasting} keys without a time to live; ${gone} with one have expired.`
    : `${name} has its ${now.keys} keys.`;
}

/** Replication id and offset survive where the RDB (or the AOF's base) carries them; mostly they do not. */
function checkHistory(
  { position }: ReceiptClaims,
  { info, replid, offset }: ServerFacts,
): VerifyCheck[] {
  const second = info.get('master_replid2');
  const end = second === position.replid ? (numberOf(info, 'second_repl_offset') ?? 0) - 1 : null;
  const at = replid === position.replid ? offset : end;
  if (at === null) return [];
  // A base of the AOF carries the offset of its rewrite, which was before the freeze.
  const ok = at >= position.offset || info.get('aof_enabled') === '1';
  const message = ok
    ? `The history of the freeze (${position.replid}) goes on at ${at}.`
    : `The history of the freeze (${position.replid}) ends at ${at}, before its offset ${position.offset}.`;
  return [{ name: 'history', ok, expected: position.offset, found: at, message }];
}

function checkState({ restore }: ReceiptClaims, { info }: ServerFacts): VerifyCheck {
  const fields =
    restore.persistence === 'rdb'
      ? ['rdb_last_bgsave_status']
      : ['aof_last_write_status', 'aof_last_bgrewrite_status'];
  const wrong = fields.filter((field) => info.get(field) !== 'ok');
  const at = numberOf(info, 'rdb_last_save_time');
  const saved = at === null ? 'unknown' : new Date(at * 1_000).toISOString();
  const message =
    wrong.length > 0
      ? `The server reports ${wrong.map((field) => `${field}: ${info.get(field)}`).join(', ')}.`
      : `The server reports its persistence as ok (last save or start: ${saved}).`;
  return { name: 'state', ok: wrong.length === 0, message };
}

/** What was on the volume at the freeze is still there, byte for byte at its ends, with later writes behind it. */
async function checkFiles(
  promised: ReceiptClaims,
  { info }: ServerFacts,
  dataDir: string,
): Promise<VerifyCheck[]> {
  const { restore } = promised;
  const saves = numberOf(info, 'rdb_saves') ?? numberOf(info, 'total_forks') ?? 1;
  // A save since the start has replaced the file.
  if (restore.files.length === 0 || (restore.persistence === 'rdb' && saves > 0)) return [];
  const dir = join(dataDir, restore.dir ?? '');
  const parts = restore.files.filter(({ name }) => !name.endsWith('.manifest'));
  const wrong: string[] = [];
  for (const part of parts) {
    const now = await fingerprintOf(dir, part.name, part.size).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    // Rewritten since: what it held is in other files, of which the receipt tells nothing.
    if (now === null) return [];
    if (!isSame(part, now)) wrong.push(part.name);
  }
  const message =
    wrong.length === 0
      ? `${parts.map(({ name }) => name).join(', ')}: as at the freeze, with what was written since behind.`
      : `${wrong.join(', ')}: not as at the freeze.`;
  return [{ name: 'files', ok: wrong.length === 0, message }];
}

export function isSame(then: Fingerprint, now: Fingerprint): boolean {
  return then.head === now.head && then.tail === now.tail;
}

async function checkSample(
  { position }: ReceiptClaims,
  session: Session,
  signal: AbortSignal,
): Promise<VerifyCheck[]> {
  const keys = Object.entries(position.sample ?? {});
  if (keys.length === 0) {
    return [
      {
        name: 'sample',
        ok: false,
        message:
          'The freeze took no sample of keys (REDIS_SAMPLE_KEYS), so their values cannot be compared.',
      },
    ];
  }
  const differing: string[] = [];
  for (const [key, digest] of keys) {
    if ((await digestOf(session, key, signal)) !== digest) differing.push(key);
  }
  const message =
    differing.length === 0
      ? `All ${keys.length} sampled keys have the values they had.`
      : `${differing.length} of ${keys.length} sampled keys differ: ${differing.slice(0, 5).join(', ')}.`;
  return [{ name: 'sample', ok: differing.length === 0, message }];
}
