import type { Document } from 'mongodb';
import type { QuiesceError } from '../../../errors.ts';
import type { Receipt } from '../../../receipt/receipt.ts';
import type { VerifyCheck, VerifyOptions, VerifyResult } from '../../engine.ts';
import { COULD_NOT_LOOK } from '../../shared/could-not-look.ts';
import { promisedIn } from '../../shared/promised.ts';
import { countDocuments, listDatabases } from '../freeze/document-counts.ts';
import { readSet } from '../freeze/replica-set.ts';
import { compareOpTimes, formatOpTime, parseOpTime } from '../optime.ts';
import {
  type MongoPosition,
  type MongoRestore,
  positionSchema,
  restoreSchema,
} from '../receipt.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import { abortedWithin } from '../../../lib/deadline.ts';

/** A verification may count for longer than a freeze, since no writer waits for it. */
const COUNT_WITHIN_MS = 60_000;

interface ReceiptClaims {
  readonly dataId: string | undefined;
  readonly position: MongoPosition;
  readonly restore: MongoRestore;
}

/**
 * Checks that the running server contains what the receipt promises. A check that cannot be proven is not
 * `ok`. Only reads.
 *
 * @throws QuiesceError INVALID_FIELD for a receipt of another engine or without a position.
 */
export async function verifyReceipt(
  session: Session,
  receipt: Receipt,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifyResult> {
  const claims = readClaims(receipt);
  const server = await readServer(session, signal);
  const counts = await checkDocuments(session, claims, signal);
  const counted = counts.ok && claims.restore.documents !== null;
  const checks = [
    checkData(claims, server),
    checkSet(claims, server),
    await checkPosition(session, claims, server, counted, signal),
    counts,
  ];
  if (options.deep) checks.push(await checkDeep(session, options.deepTimeoutMs, signal));
  return { verified: checks.every(({ ok }) => ok), checks };
}

function readClaims(receipt: Receipt): ReceiptClaims {
  const schemas = { position: positionSchema, restore: restoreSchema };
  const { dataId } = receipt.engine.identity;
  return { dataId, ...promisedIn(receipt, 'mongodb', schemas) };
}

function checkData({ dataId }: ReceiptClaims, server: ServerFacts): VerifyCheck {
  const name = 'data-id';
  const expected = dataId ?? null;
  const found = server.dataId ?? null;
  const ok = dataId !== undefined && dataId === server.dataId;
  const message = ok
    ? 'This is the same data: admin.system.version has the same UUID.'
    : `This is other data: its id is ${found}, the receipt's is ${expected}.`;
  return { name, ok, expected, found, message };
}

function checkSet({ restore }: ReceiptClaims, server: ServerFacts): VerifyCheck {
  const expected = restore.set?.name ?? null;
  const found = server.setName ?? null;
  const ok = found === expected || found === null;
  const message =
    found === expected
      ? expected === null
        ? 'The server is outside a set, as at the freeze.'
        : `The server is a member of the set ${expected}, as at the freeze.`
      : ok
        ? `The server is outside a set; at the freeze it was a member of ${expected}.`
        : `The server is a member of ${found}; at the freeze it was ${expected === null ? 'outside a set' : `a member of ${expected}`}.`;
  return { name: 'set', ok, expected, found, message };
}

/**
 * Positions are comparable only within one set: a new set has its own history, however late its clock.
 * For any other server only the documents can be compared.
 */
async function checkPosition(
  session: Session,
  { position, restore }: ReceiptClaims,
  server: ServerFacts,
  counted: boolean,
  signal: AbortSignal,
): Promise<VerifyCheck> {
  const name = 'position';
  if (server.runId === position.runId) {
    return {
      name,
      ok: true,
      message: 'This is the same server process that was frozen: nothing was restored.',
    };
  }
  const promised = position.opTime === null ? undefined : parseOpTime(position.opTime);
  const set = server.setName === undefined ? undefined : await readSet(session, signal);
  const comparable = set !== undefined && set.replicaSetId === restore.set?.replicaSetId;
  if (promised && comparable) {
    const found = server.opTime;
    const ok = found !== undefined && compareOpTimes(found, promised) >= 0;
    const at = found === undefined ? null : formatOpTime(found);
    const message = ok
      ? `The set is at ${at}, at or past the promised position.`
      : `The set is at ${at}, before the promised position ${position.opTime}.`;
    return { name, ok, expected: position.opTime, found: at, message };
  }
  const why =
    promised === undefined
      ? 'A server outside a set has no position'
      : 'The server is no longer in the set of the receipt, so positions are not comparable';
  const proof = counted
    ? 'every database has at least the documents counted under the lock'
    : 'the documents prove nothing either';
  const unchecked = counted ? {} : { unchecked: true };
  return {
    name,
    ok: counted,
    expected: position.opTime,
    message: `${why}: ${proof}.`,
    ...unchecked,
  };
}

async function checkDocuments(
  session: Session,
  { restore }: ReceiptClaims,
  signal: AbortSignal,
): Promise<VerifyCheck> {
  const name = 'documents';
  const present = await listDatabases(session, signal);
  const missing = restore.databases.filter((one) => !present.includes(one));
  if (missing.length > 0) {
    return { name, ok: false, message: `Databases are missing: ${missing.join(', ')}.` };
  }
  const expected = restore.documents;
  if (expected === null) {
    const message = 'The receipt has no document counts; all its databases are present.';
    const ok = restore.set !== null;
    return { name, ok, message, ...(ok ? {} : { unchecked: true }) };
  }
  const found = await countDocuments(session, Object.keys(expected), signal, COUNT_WITHIN_MS);
  if (found === null) {
    const message = 'The documents could not be counted in time.';
    return { name, ok: false, unchecked: true, expected, message };
  }
  const fewer = Object.entries(expected).filter(([db, count]) => (found[db] ?? 0) < count);
  const message =
    fewer.length === 0
      ? 'Each database has at least the documents counted under the lock.'
      : `There are fewer documents than under the lock in ${fewer.map(([db, count]) => `${db} (${found[db] ?? 0} of ${count})`).join(', ')}.`;
  return { name, ok: fewer.length === 0, expected, found, message };
}

/** Runs the server's own `validate` on every collection of the application, within the time limit. */
async function checkDeep(
  session: Session,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<VerifyCheck> {
  const name = 'validate';
  const soon = abortedWithin(timeoutMs, signal);
  const began = performance.now();
  const bad: string[] = [];
  let done = 0;
  let at = 'all collections';
  try {
    const databases = await listDatabases(session, soon);
    for (const database of databases.filter((one) => one !== 'config')) {
      for (const collection of await listCollections(session, database, soon)) {
        at = `${database}.${collection}`;
        const left = Math.max(1, Math.round(timeoutMs - (performance.now() - began)));
        const command = { validate: collection, maxTimeMS: left };
        const answer = await session.command(database, command, `validate ${at}`, soon);
        if (answer['valid'] !== true) bad.push(at);
        done += 1;
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    const known = error as QuiesceError;
    const late = soon.aborted || /time ?limit|MaxTimeMS/i.test(known.message);
    const why = late ? `not finished within ${timeoutMs} ms` : known.message;
    // A server ends itself when it reads a damaged block of a table.
    const gone =
      !late && known.code === 'ENGINE_UNREACHABLE'
        ? ' The server ends itself at a damaged block: see its log.'
        : '';
    const invalid = bad.length === 0 ? '' : ` Not valid: ${bad.join(', ')}.`;
    const unchecked = bad.length === 0 && (late || COULD_NOT_LOOK.has(known.code));
    return {
      name,
      deep: true,
      ok: false,
      ...(unchecked ? { unchecked } : {}),
      message: `validate of all collections: ${why} (${done} validated).${invalid}${gone}`,
    };
  }
  const message =
    bad.length === 0
      ? `All ${done} collections are valid.`
      : `These collections are not valid: ${bad.join(', ')}.`;
  return { name, deep: true, ok: bad.length === 0, message };
}

async function listCollections(
  session: Session,
  database: string,
  signal: AbortSignal,
): Promise<string[]> {
  const command = {
    listCollections: 1,
    nameOnly: true,
    filter: { type: 'collection' },
    cursor: { batchSize: 10_000 },
  };
  const answer = await session.command(database, command, 'list the collections', signal);
  const batch = (answer['cursor'] as { firstBatch: Document[] }).firstBatch;
  const names = batch.map((one) => String(one['name']));
  // A grant on a whole database does not include the system collections.
  return names.filter((name) => !name.startsWith('system.'));
}
