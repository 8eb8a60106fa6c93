import { readFileSync } from 'node:fs';
import { CONTROL_SOCKET, DEEP_TIMEOUT_MS, FREEZE_TIMEOUT_MS } from '../defaults.ts';
import type { ErrorBody } from '../errors.ts';
import { QuiesceError, catalogue } from '../errors.ts';
import { parseDuration } from '../lib/duration.ts';
import { errorLine, reportFailure as reportError, writeTo } from '../lib/command-line/failure.ts';
import { formatAsked } from '../lib/command-line/read-flags.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { Arguments, ShimVerb } from './args.ts';
import { parseArguments } from './args.ts';
import type { Answer, Call } from './client.ts';
import { call } from './client.ts';
import { readCopyMetadata } from './copy-metadata.ts';
import { metadataText } from './metadata-text.ts';
import { asRecord, tree } from './table.ts';
import { newKey, sendUntilAnswered } from './retry.ts';
import { interruptible, showProgress } from './waiting.ts';
import {
  abandonedText,
  acknowledgedText,
  freezeText,
  receiptsText,
  statusText,
  thawText,
  verifyText,
} from './messages.ts';

export { SHIM_VERBS } from './args.ts';
export type { ShimVerb } from './args.ts';

/** Added to the timeout of a freeze. With the default timeout, the call still ends before Velero's 30 s. */
const FREEZE_GRACE_MS = 3_000;
const STATUS_DEADLINE_MS = 5_000;
const THAW_DEADLINE_MS = 25_000;
const READ_DEADLINE_MS = 35_000;
const VERIFY_DEADLINE_MS = 65_000;

const ROLLED_BACK =
  'The outcome of the freeze is unknown; the sidecar rolls it back when the connection closes.';
const STILL_RELEASING = 'The sidecar continues to release the database; the verdict is unknown.';
const NOTHING_CHANGED = 'Nothing was changed.';

type Send = (wanted: Call) => Promise<Answer>;

/** Sends one verb to the sidecar and prints the outcome. Resolves with the exit code, never rejects. */
export async function runShim(verb: ShimVerb, args: readonly string[]): Promise<number> {
  const abort = new AbortController();
  const interrupted = interruptible(abort);
  try {
    const parsed = parseArguments(verb, args);
    if (parsed.data !== undefined) return showCopy(readCopyMetadata(parsed.data), parsed);
    const socket = socketPath();
    const stopProgress = showProgress(verb);
    const send: Send = (wanted) => call(socket, wanted, abort.signal);
    const answer = await answerTo(verb, parsed, send).finally(stopProgress);
    return report(verb, answer, parsed);
  } catch (thrown) {
    if (interrupted.code !== undefined) return interrupted.code;
    return reportError(thrown, formatAsked(args) === 'json' ? 'json' : undefined);
  }
}

async function answerTo(verb: ShimVerb, args: Arguments, send: Send): Promise<Answer> {
  switch (verb) {
    case 'freeze':
      return freeze(args, send);
    case 'thaw':
      return sendUntilAnswered(send, {
        method: 'POST',
        path: '/v1/thaw',
        headers: keyOf(args),
        body: { id: args.id, ...(args.abandon ? { abandon: true } : {}) },
        deadlineMs: THAW_DEADLINE_MS,
        unanswered: STILL_RELEASING,
      });
    case 'verify':
      return verify(args, send);
    case 'receipts':
      return read(args.operand === undefined ? 'receipts' : `receipts/${args.operand}`, send);
    case 'status':
      return args.acknowledgeRestore ? acknowledge(send) : read(verb, send);
    case 'metadata':
      return read(verb, send);
  }
}

/** Harmless to repeat, so a broken connection is tried again. */
function acknowledge(send: Send): Promise<Answer> {
  return sendUntilAnswered(send, {
    method: 'POST',
    path: '/v1/restore/acknowledge',
    body: {},
    deadlineMs: READ_DEADLINE_MS,
    unanswered: 'It is not known whether the restore was acknowledged; quiesce status shows it.',
  });
}

function freeze(args: Arguments, send: Send): Promise<Answer> {
  const { id, ttl, timeout, renew, wait, thawLast } = args;
  // Without the flag the sidecar's own timeout applies, which may be longer than the default.
  const extension =
    timeout === undefined ? { stillWorking: () => isStillFreezing(send, wait) } : {};
  return sendUntilAnswered(send, {
    method: 'POST',
    path: '/v1/freeze',
    headers: keyOf(args),
    body: {
      id,
      ttl,
      timeout,
      ...(renew ? { renew } : {}),
      ...(wait ? { wait } : {}),
      ...(thawLast ? { thawLast } : {}),
    },
    deadlineMs: (parseDuration(timeout ?? '') ?? FREEZE_TIMEOUT_MS) + FREEZE_GRACE_MS,
    ...extension,
    unanswered: ROLLED_BACK,
  });
}

/** Each run of the command is one call with one key, however often it is sent. */
function keyOf({ idempotencyKey }: Arguments): Readonly<Record<string, string>> {
  return { 'idempotency-key': idempotencyKey ?? newKey() };
}

async function isStillFreezing(send: Send, waits: boolean): Promise<boolean> {
  const status = await read('status', send, STATUS_DEADLINE_MS).catch(() => undefined);
  const state = status?.ok === true ? status.body['state'] : 'thawed';
  return waits ? state !== 'thawed' : state === 'freezing';
}

function read(what: string, send: Send, deadlineMs = READ_DEADLINE_MS): Promise<Answer> {
  return send({
    method: 'GET',
    path: `/v1/${what}`,
    deadlineMs,
    unanswered: NOTHING_CHANGED,
  });
}

async function verify(args: Arguments, send: Send): Promise<Answer> {
  const receipt = args.operand === undefined ? await lastReceipt(send) : readReceipt(args.operand);
  const { deep, deepTimeout } = args;
  const deepMs = deep ? (parseDuration(deepTimeout ?? '') ?? DEEP_TIMEOUT_MS) : 0;
  return send({
    method: 'POST',
    path: '/v1/verify',
    body: { receipt, deep, deepTimeout },
    deadlineMs: VERIFY_DEADLINE_MS + deepMs,
    unanswered: 'Nothing was verified.',
  });
}

async function lastReceipt(send: Send): Promise<unknown> {
  const { ok, body } = await read('receipts', send);
  const kept = ok && Array.isArray(body['receipts']) ? body['receipts'].map(asRecord) : [];
  // Skip freezes that failed or are not yet in place: their receipts promise nothing.
  const last = kept.find((one) => typeof one['frozenAt'] === 'string');
  const receipt = last ?? (ok ? body['restored'] : undefined) ?? undefined;
  if (receipt !== undefined) return receipt;
  throw new QuiesceError('RECEIPT_NOT_FOUND', 'The sidecar has no receipt to verify against.', {
    hint: 'Pass a receipt as a file: quiesce verify FILE',
  });
}

/** Reads a receipt, or an answer that has one under `receipt`. */
function readReceipt(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new QuiesceError('USAGE', `${file} cannot be read (${code}).`, { field: 'FILE' });
  }
  let value: Readonly<Record<string, unknown>>;
  try {
    value = asRecord(JSON.parse(text));
  } catch (error) {
    throw new QuiesceError('INVALID_JSON', `${file} is not JSON.`, { field: 'FILE', cause: error });
  }
  const receipt = value['kind'] === 'Receipt' ? value : asRecord(value['receipt']);
  if (receipt['kind'] === 'Receipt') return receipt;
  throw new QuiesceError('INVALID_FIELD', `${file} does not contain a receipt.`, { field: 'FILE' });
}

/** Prints an answer. The status alone does not prove success: the body must confirm it. */
function report(verb: ShimVerb, answer: Answer, args: Arguments): number {
  const { ok, body } = answer;
  if (!ok) return reportFailure(verb, body, args.json);
  if (!confirms(verb, body, args)) {
    throw new QuiesceError('INTERNAL', `The answer of the sidecar does not confirm the ${verb}.`);
  }
  if (verb === 'freeze') refuseExpired(body as Receipt);
  if (args.json) print(body);
  else if (args.acknowledgeRestore) write(acknowledgedText(asRecord(body['acknowledged'])));
  else if (args.abandon) write(abandonedText(body, process.stdout.isTTY));
  else write(textOf(verb, body, args));
  return 0;
}

function confirms(verb: ShimVerb, body: Answer['body'], args: Arguments): boolean {
  if (verb === 'verify') return body['verified'] === true;
  if (args.acknowledgeRestore) return asRecord(body['acknowledged'])['at'] !== undefined;
  if (verb !== 'freeze' && verb !== 'thaw') return true;
  if (args.abandon) return typeof body['released'] === 'boolean';
  const verdict = verb === 'freeze' ? 'held' : 'consistent';
  const same = args.id === undefined || body['id'] === args.id;
  return body['kind'] === 'Receipt' && body['verdict'] === verdict && same;
}

/** Refuses a lease that has expired: a process that was stopped or starved may read the answer late. */
function refuseExpired(receipt: Receipt): void {
  const { id, expiresAt } = receipt;
  if (expiresAt === null || Date.now() < Date.parse(expiresAt)) return;
  throw new QuiesceError(
    'NOT_CONSISTENT',
    `Freeze ${id} was held, but its lease expired at ${expiresAt}, before this command read the answer.`,
    { hint: 'Freeze again with a longer --ttl, or when the machine is less busy.' },
  );
}

function showCopy(body: Answer['body'], args: Arguments): number {
  if (args.json) print(body);
  else write(textOf('metadata', body, args));
  return 0;
}

function textOf(verb: ShimVerb, body: Answer['body'], { all }: Arguments): string {
  const tty = process.stdout.isTTY;
  switch (verb) {
    case 'freeze':
      return freezeText(body as Receipt, tty);
    case 'thaw':
      return thawText(body as Receipt, tty);
    case 'verify':
      return verifyText(body, tty);
    case 'status':
      return statusText(body, tty);
    case 'receipts':
      return body['kind'] === 'Receipt' ? tree(body).join('\n') : receiptsText(body);
    case 'metadata':
      return metadataText(body, { width: columns(), all });
  }
}

function reportFailure(verb: ShimVerb, body: Answer['body'], json: boolean): number {
  const error = asRecord(body['error']) as Partial<ErrorBody>;
  if (typeof error.code !== 'string' || typeof error.message !== 'string') {
    throw new QuiesceError('INTERNAL', 'The sidecar reported a failure in an unknown form.');
  }
  if (json) {
    print(body);
  } else {
    const tty = process.stdout.isTTY;
    if (verb === 'thaw' && body['receipt'] !== undefined) {
      const already = error.code === 'ALREADY_THAWED';
      write(thawText(body['receipt'] as Receipt, tty, already));
    }
    if (verb === 'verify' && body['checks'] !== undefined) write(verifyText(body, tty));
    writeTo(process.stderr, `${errorLine(error)}\n`);
  }
  return Object.hasOwn(catalogue, error.code) ? catalogue[error.code].exit : 1;
}

/** Of the terminal; elsewhere a line may be longer, but a person still reads it. */
function columns(): number {
  return process.stdout.isTTY ? Math.max(60, process.stdout.columns) : 100;
}

function print(body: unknown): void {
  write(JSON.stringify(body));
}

function write(text: string): void {
  writeTo(process.stdout, `${text}\n`);
}

function socketPath(): string {
  const path = process.env['QUIESCE_SOCKET'] ?? CONTROL_SOCKET;
  if (path !== '') return path;
  throw new QuiesceError('CONFIG_INVALID', 'QUIESCE_SOCKET is empty.', { field: 'QUIESCE_SOCKET' });
}
