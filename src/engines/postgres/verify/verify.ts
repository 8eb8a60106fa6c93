import { join } from 'node:path';
import { z } from 'zod';
import { QuiesceError } from '../../../errors.ts';
import { type Receipt, receiptSchema } from '../../../receipt/receipt.ts';
import type { VerifyCheck, VerifyOptions, VerifyResult } from '../../engine.ts';
import { readRegular } from '../../../lib/regular-file.ts';
import { promisedIn, unusable } from '../../shared/promised.ts';
import { readPrepared } from '../../shared/prepared-copy.ts';
import { withSession } from '../../shared/with-session.ts';
import { checkDeep } from './amcheck.ts';
import { inspectServerLayout } from '../data-dir/layout.ts';
import { parseLsn } from '../lsn.ts';
import { listDatabases } from '../freeze/position.ts';
import {
  type PostgresPosition,
  type PostgresRestore,
  positionSchema,
  type PreparedRecord,
  preparedRecordSchema,
  restoreSchema,
} from '../receipt.ts';
import { readServer, type ServerFacts } from '../server.ts';
import { Session } from '../connection/session.ts';
import type { PostgresSettings } from '../connection/settings.ts';
import {
  type VerifyFacts,
  judgePosition,
  judgeTimeline,
  readReplay,
  type Replay,
} from './position.ts';
import { proveMarker } from '../wal/prove-marker.ts';
import { readTimelineHistory } from '../wal/timeline.ts';

export interface VerifyContext {
  readonly settings: PostgresSettings;
  /** QUIESCE_DATA_DIR. */
  readonly dataDir: string | undefined;
}

/**
 * Whether the running server contains what the receipt promises. A check that cannot be proven is
 * not `ok`. Reads only.
 *
 * @throws QuiesceError INVALID_FIELD for a receipt of another engine or without a position; what
 * `Session.open` throws.
 */
export async function verifyReceipt(
  context: VerifyContext,
  receipt: Receipt,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifyResult> {
  const claims = readVerifiable(receipt);
  const checks = await withSession(Session.open(context.settings, signal), (session) =>
    checkAll({ session, context, claims, signal }),
  );
  if (options.deep)
    checks.push(...(await checkDeep(context.settings, options.deepTimeoutMs, signal)));
  return { verified: checks.every(({ ok }) => ok), checks };
}

interface VerifiableClaims {
  readonly id: string;
  /**
   * Copies of several volumes are whole only through the label. A marker in their WAL proves
   * nothing about the data files of a server that was started without the label.
   */
  readonly needsLabel: boolean;
  readonly systemIdentifier: string;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
}

function readVerifiable(receipt: Receipt): VerifiableClaims {
  const schemas = { position: positionSchema, restore: restoreSchema };
  const promised = promisedIn(receipt, 'postgres', schemas);
  const systemIdentifier = receipt.engine.identity['systemIdentifier'];
  if (systemIdentifier === undefined) throw unusable('names no system identifier');
  return { id: receipt.id, needsLabel: receipt.mode === 'open', systemIdentifier, ...promised };
}

interface Work {
  readonly session: Session;
  readonly context: VerifyContext;
  readonly claims: VerifiableClaims;
  readonly signal: AbortSignal;
}

async function checkAll(work: Work): Promise<VerifyCheck[]> {
  const { session, claims, signal } = work;
  const server = await readServer(session, signal);
  const identity = checkIdentity(claims.systemIdentifier, server.systemIdentifier);
  const databases = await checkDatabases(work);
  if (!identity.ok) {
    const other = 'Not checked: this is another server.';
    return [
      identity,
      { name: 'timeline', ok: false, message: other, unchecked: true },
      { name: 'position', ok: false, message: other, unchecked: true },
      databases,
    ];
  }
  const replay = await readReplay(session, signal);
  const facts = await gatherFacts(work, server, replay);
  const staged = claims.restore.staged === undefined ? [] : [await checkStaged(work, facts)];
  return [
    ...staged,
    identity,
    judgeTimeline(claims.position, facts),
    judgePosition(claims.position, facts),
    databases,
  ];
}

/**
 * Files copied one by one while a server writes are not a backup, whatever their WAL shows: a copy
 * made in mode `staged` counts only where `prepare-restore` has put the staged backup in place.
 */
async function checkStaged(
  { context, claims }: Work,
  { sameRun }: VerifyFacts,
): Promise<VerifyCheck> {
  const name = 'staged';
  if (sameRun) {
    return { name, ok: true, message: 'This is the server that was frozen: nothing was restored.' };
  }
  const { id, systemIdentifier } = claims;
  const prepared = await readProof(context.dataDir);
  const ok =
    (prepared?.id === id && prepared.systemIdentifier === systemIdentifier) ||
    (await readVerified(context.dataDir, claims)) !== undefined;
  const message = ok
    ? 'The staged backup was proven and put in place before the first start.'
    : 'Nothing proves that the server runs on the staged backup and not on files that were copied live: run prepare-restore on a copy before its first start.';
  return { name, ok, message, ...(ok ? {} : { unchecked: true }) };
}

function checkIdentity(expected: string, found: string): VerifyCheck {
  const ok = expected === found;
  const message = ok
    ? 'The same system identifier.'
    : `The server has system identifier ${found}; the receipt is for ${expected}.`;
  return { name: 'system-identifier', ok, expected, found, message };
}

async function checkDatabases({ session, claims, signal }: Work): Promise<VerifyCheck> {
  const found = await listDatabases(session, signal);
  const missing = claims.restore.databases.filter((name) => !found.includes(name));
  const message =
    missing.length === 0
      ? `All ${claims.restore.databases.length} databases of the receipt are present.`
      : `Missing: ${missing.join(', ')}.`;
  return {
    name: 'databases',
    ok: missing.length === 0,
    expected: claims.restore.databases,
    found,
    message,
  };
}

async function gatherFacts(work: Work, server: ServerFacts, replay: Replay): Promise<VerifyFacts> {
  const { session, context, signal } = work;
  const pgdata = await inspectServerLayout(session, server, context.dataDir, signal).then(
    (layout) => layout.pgdata,
    (error: unknown) => {
      if (error instanceof QuiesceError && error.code === 'ENGINE_DATA_MISMATCH') return null;
      throw error;
    },
  );
  const history =
    pgdata === null
      ? undefined
      : await readTimelineHistory(pgdata, replay.timeline).catch(() => undefined);
  const sameRun = server.serverStartedAt === work.claims.position.serverStartedAt;
  const proof =
    sameRun || (replay.inRecovery && !work.claims.needsLabel)
      ? { found: false, detail: '' }
      : await findProof(work, replay, pgdata, server.segmentSize);
  return { replay, sameRun, history, proof, needsLabel: work.claims.needsLabel };
}

/**
 * The proof that `prepare-restore` left before the first start, or else the marker in the WAL that
 * is still on disk.
 */
async function findProof(
  { context, claims, signal }: Work,
  replay: Replay,
  pgdata: string | null,
  segmentSize: number,
): Promise<VerifyFacts['proof']> {
  if (pgdata === null) {
    return {
      found: false,
      detail: 'The sidecar cannot see the data: mount it and set QUIESCE_DATA_DIR.',
    };
  }
  const known = await findKnown(context.dataDir, claims);
  if (known !== undefined) return { found: true, detail: known };
  if (claims.needsLabel) {
    return {
      found: false,
      detail:
        'This copy of several volumes was not prepared: without its label a server starts on it and the data may be corrupt.',
    };
  }
  const { id, systemIdentifier, position } = claims;
  if (position.markerLsn === null) {
    return {
      found: false,
      detail: 'The freeze was on a standby, which writes no marker to look for.',
    };
  }
  const { startLsn, markerLsn, timeline } = position;
  return await proveMarker(
    pgdata,
    {
      id,
      markerLsn,
      startLsn,
      timeline,
      segmentSize,
      systemIdentifier,
      serverLsn: replay.lsn,
      serverTimeline: replay.timeline,
    },
    signal,
  );
}

/** What was proven on this volume earlier: by `prepare-restore`, or at its first start. */
async function findKnown(
  dataDir: string | undefined,
  claims: VerifiableClaims,
): Promise<string | undefined> {
  const { id, systemIdentifier, position } = claims;
  const prepared = await readProof(dataDir);
  if (prepared?.id === id && prepared.systemIdentifier === systemIdentifier) {
    const covered = claims.needsLabel
      ? prepared.walFrom === position.startLsn
      : (prepared.coveredBy === 'replay') === (position.markerLsn === null);
    if (covered && parseLsn(prepared.walEnd) >= parseLsn(position.lsn)) {
      return `prepare-restore read the WAL of this copy up to ${prepared.walEnd} before its first start.`;
    }
  }
  const verifiedAt = await readVerified(dataDir, claims);
  return verifiedAt === undefined
    ? undefined
    : `verified on this volume when it was restored, at ${verifiedAt}.`;
}

async function readProof(dataDir: string | undefined): Promise<PreparedRecord | undefined> {
  if (dataDir === undefined) return undefined;
  const prepared = await readPrepared(dataDir).catch(() => undefined);
  return preparedRecordSchema.safeParse(prepared).data;
}

const verifiedSchema = z.object({
  verified: z.literal(true),
  verifiedAt: z.string(),
  receipt: receiptSchema,
});

/** When this volume was verified against the same receipt at its first start. */
async function readVerified(
  dataDir: string | undefined,
  claims: VerifiableClaims,
): Promise<string | undefined> {
  if (dataDir === undefined) return undefined;
  try {
    const path = join(dataDir, '.quiesce', `restored-${claims.id}.json`);
    const { receipt, verifiedAt } = verifiedSchema.parse(JSON.parse(await readRegular(path)));
    const same =
      receipt.engine.identity['systemIdentifier'] === claims.systemIdentifier &&
      receipt.position?.['lsn'] === claims.position.lsn;
    return same ? verifiedAt : undefined;
  } catch {
    return undefined;
  }
}
