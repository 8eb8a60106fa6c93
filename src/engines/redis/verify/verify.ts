import { join } from 'node:path';
import type { Receipt } from '../../../receipt/receipt.ts';
import type { VerifyCheck, VerifyOptions, VerifyResult } from '../../engine.ts';
import { type Fingerprint, fingerprintOf } from '../data-dir/fingerprint.ts';
import { type ReceiptClaims, claimsIn } from '../receipt.ts';
import { numberOf } from '../connection/replies.ts';
import { digestOf } from '../freeze/key-sample.ts';
import { keyCounts, readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import { isMissing } from '../../../lib/durable-files.ts';

/**
 * Checks that the running server contains what the receipt promises. The server may have taken writes
 * since: additional keys are accepted, missing ones are not.
 *
 * @throws QuiesceError INVALID_FIELD for a receipt of another engine or of a freeze that was never in place;
 * ENGINE_…
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
    ...(options.deep ? [await checkSample(promised, server, session, signal)] : []),
  ];
  return { verified: checks.every(({ ok }) => ok), checks };
}

/** With the other kind of persistence the server starts EMPTY, or with old data. */
function checkPersistence({ restore }: ReceiptClaims, { info }: ServerFacts): VerifyCheck {
  const expected = restore.persistence === 'rdb' ? 'no' : 'yes';
  const found = info.get('aof_enabled') === '1' ? 'yes' : 'no';
  const message =
    expected === found
      ? `appendonly is ${found}, as at the freeze.`
      : `appendonly was ${expected} at the freeze and is now ${found}: the server has not loaded the data of this backup. Stop it without a save (SHUTDOWN NOSAVE), restore the volume again, and start it with appendonly ${expected}.`;
  return { name: 'persistence', ok: expected === found, expected, found, message };
}

function checkKeys({ position }: ReceiptClaims, { info }: ServerFacts): VerifyCheck[] {
  const found = keyCounts(info);
  const names = Object.keys(position.databases);
  const empty = names.length > 0 && Object.keys(found).length === 0;
  // From 7.0 on, keys that expired before the start are counted separately.
  const expired =
    (numberOf(info, 'expired_keys') ?? 0) + (numberOf(info, 'rdb_last_load_keys_expired') ?? 0);
  if (names.length === 0) {
    return [{ name: 'keys', ok: true, message: 'There were no keys at the freeze.' }];
  }
  return names.map((name) => {
    const before = position.databases[name] ?? { keys: 0, expires: 0 };
    const now = found[name] ?? { keys: 0, expires: 0 };
    // Keys with a time to live may have expired since.
    const lasting = before.keys - before.expires;
    const left = now.keys - now.expires;
    // An empty server is accepted only if it reports that some keys expired.
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
    return `The server is EMPTY; ${name} had ${before.keys} keys. Stop it without a save (SHUTDOWN NOSAVE) before it overwrites the restored data.`;
  }
  if (left < lasting)
    return `${name} lacks ${lasting - left} of ${lasting} keys without a time to live: they are missing from the copy, or were deleted since.`;
  const gone = before.keys - now.keys;
  if (left > lasting)
    return `${name} has at least as many keys without a time to live as at the freeze: ${lasting}, and ${left - lasting} more.`;
  return gone > 0
    ? `${name} has its ${lasting} keys without a time to live; ${gone} keys with one have expired.`
    : `${name} has its ${now.keys} keys.`;
}

/** Compares replication id and offset, if they survived: the RDB or the AOF's base seldom carries them. */
function checkHistory(
  { position }: ReceiptClaims,
  { info, replid, offset }: ServerFacts,
): VerifyCheck[] {
  const second = info.get('master_replid2');
  const end = second === position.replid ? (numberOf(info, 'second_repl_offset') ?? 0) - 1 : null;
  const at = replid === position.replid ? offset : end;
  if (at === null) return [];
  // The base of an AOF carries the offset of its rewrite, which is older than the freeze.
  const ok = at >= position.offset || info.get('aof_enabled') === '1';
  const message = ok
    ? `The history of the freeze (${position.replid}) continues at ${at}.`
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

/** Checks that the files of the freeze still begin and end with the same bytes, later writes appended. */
async function checkFiles(
  promised: ReceiptClaims,
  { info }: ServerFacts,
  dataDir: string,
): Promise<VerifyCheck[]> {
  const { restore } = promised;
  const saves = numberOf(info, 'rdb_saves') ?? numberOf(info, 'total_forks') ?? 1;
  // A save since the start has replaced the RDB file.
  if (restore.files.length === 0 || (restore.persistence === 'rdb' && saves > 0)) return [];
  const dir = join(dataDir, restore.dir ?? '');
  const parts = restore.files.filter(({ name }) => !name.endsWith('.manifest'));
  const wrong: string[] = [];
  for (const part of parts) {
    const now = await fingerprintOf(dir, part.name, part.size).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    // Rewritten since: its content is now in files that the receipt does not list.
    if (now === null) return [];
    if (!isSame(part, now)) wrong.push(part.name);
  }
  const message =
    wrong.length === 0
      ? `${parts.map(({ name }) => name).join(', ')}: unchanged since the freeze, apart from appended writes.`
      : `${wrong.join(', ')}: changed since the freeze.`;
  return [{ name: 'files', ok: wrong.length === 0, message }];
}

export function isSame(then: Fingerprint, now: Fingerprint): boolean {
  return then.head === now.head && then.tail === now.tail;
}

async function checkSample(
  { position }: ReceiptClaims,
  { info }: ServerFacts,
  session: Session,
  signal: AbortSignal,
): Promise<VerifyCheck> {
  const name = 'sample';
  const deep = true;
  const keys = Object.entries(position.sample ?? {});
  if (keys.length === 0) {
    const message = 'The freeze sampled no keys (REDIS_SAMPLE_KEYS), so values cannot be compared.';
    return { name, deep, ok: false, unchecked: true, message };
  }
  const differing: string[] = [];
  for (const [key, digest] of keys) {
    if ((await digestOf(session, key, signal)) !== digest) differing.push(key);
  }
  if (differing.length === 0) {
    const message = `All ${keys.length} sampled keys have the same values as at the freeze.`;
    return { name, deep, ok: true, message };
  }
  const which = `${differing.length} of ${keys.length} sampled keys differ: ${differing.slice(0, 5).join(', ')}.`;
  if (!hasTakenWrites(info)) return { name, deep, ok: false, message: which };
  const message = `${which} The server has taken writes since its start, which may be the reason.`;
  return { name, deep, ok: false, unchecked: true, message };
}

function hasTakenWrites(info: ServerFacts['info']): boolean {
  const saves = numberOf(info, 'rdb_saves') ?? numberOf(info, 'total_forks') ?? 1;
  return saves > 0 || (numberOf(info, 'rdb_changes_since_last_save') ?? 1) > 0;
}
