import { QuiesceError } from '../../errors.ts';
import { RetryLater } from '../../lib/retry-later.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type {
  CopyMetadata,
  Difference,
  Engine,
  EngineOptions,
  FreezeContext,
  Hold,
  JsonObject,
  Probe,
  VerifyOptions,
  VerifyResult,
} from '../engine.ts';
import { abortedWithin, unlessAborted } from '../../lib/deadline.ts';
import { capabilitiesOf } from '../names.ts';
import { engineModule, TwoStep } from '../shared/two-step.ts';
import { rowsAt } from '../shared/differ.ts';
import { Parts } from '../shared/parts.ts';
import { withSession } from '../shared/with-session.ts';
import { KeptSession } from './backup/kept-session.ts';
import { inspectServerLayout } from './data-dir/layout.ts';
import { ownFiles } from './data-dir/own-files.ts';
import { readCopyMetadata } from './metadata/copy-metadata.ts';
import { differencesOf } from './metadata/differences.ts';
import { readEachDatabase } from './metadata/each-database.ts';
import { readMetadata, withEachDatabase } from './metadata/metadata.ts';
import { modeFor, pausedModeFor } from './freeze/index.ts';
import type { PreparedFreeze } from './freeze/mode.ts';
import { readPrivileges } from './privileges.ts';
import { pauseInJournal, endPauseThrough } from './freeze/paused/pause.ts';
import { readServer, toProbe } from './server.ts';
import { Session } from './connection/session.ts';
import { parseSettings, type PostgresSettings } from './connection/settings.ts';
import { sweepStaging } from './freeze/staged/folder.ts';
import { clearEvidence } from './freeze/open/tablespace-evidence.ts';
import { hasNoData } from './verify/empty.ts';
import { verifyReceipt } from './verify/verify.ts';

const PAUSES_NOTHING =
  'QUIESCE_REPLICA=pause changes nothing here: this server is a primary and was frozen as one.';

/** PostgreSQL 13 and newer, configured by libpq's environment names. */
export const { checkSettings, createEngine } = engineModule(
  parseSettings,
  (settings, options) => new PostgresEngine(settings, options),
);

class PostgresEngine implements Engine {
  readonly name = 'postgres';
  readonly capabilities = capabilitiesOf('postgres');
  readonly ownFiles = ownFiles;
  readonly #settings: PostgresSettings;
  readonly #dataDir: string | undefined;
  readonly #pauses: boolean;
  readonly #onReplicaWait: (seconds: number) => void;
  readonly #keptSession = new KeptSession();
  readonly #freeze = new TwoStep<PreparedFreeze>((prepared) => prepared.close());
  readonly #retry = new RetryLater();
  #sweeping: Promise<void> | undefined;

  constructor(settings: PostgresSettings, options: EngineOptions) {
    this.#settings = settings;
    this.#dataDir = options.dataDir;
    this.#pauses = options.replica === 'pause';
    this.#onReplicaWait = options.onReplicaWait ?? (() => undefined);
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return await this.#with(signal, async (session) => toProbe(await readServer(session, signal)));
  }

  async prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    if (!this.#pauses) modeFor(context.copy);
    const open = async (): Promise<Session> => {
      await this.#keptSession.end();
      return await this.#open(signal);
    };
    await this.#freeze.prepare(open, (session) => this.#prepare(session, context, signal), signal);
  }

  async #prepare(
    session: Session,
    context: FreezeContext,
    signal: AbortSignal,
  ): Promise<PreparedFreeze> {
    const server = await readServer(session, signal);
    const privileges = await readPrivileges(session, signal);
    const mode =
      this.#pauses && server.inRecovery
        ? pausedModeFor(context.copy, this.#onReplicaWait)
        : modeFor(context.copy);
    const found = await inspectServerLayout(session, server, this.#dataDir, signal);
    const idle = this.#pauses && !server.inRecovery;
    const layout = idle ? { ...found, notes: [...found.notes, PAUSES_NOTHING] } : found;
    const open = (until: AbortSignal): Promise<Session> => this.#open(until);
    const dataDir = this.#dataDir;
    const keepSession = this.#keptSession.keep;
    const retry = this.#retry;
    const input = {
      session,
      server,
      privileges,
      layout,
      dataDir,
      context,
      open,
      keepSession,
      retry,
    };
    return await mode(input, signal);
  }

  async hold(_context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    return await this.#freeze.hold((prepared) => prepared.hold(signal));
  }

  async metadata(signal: AbortSignal): Promise<JsonObject> {
    const parts = new Parts();
    const found = await this.#with(signal, (session) =>
      readMetadata(session, signal, { dataDir: this.#dataDir, parts }),
    );
    const open = (database: string): Promise<Session> => this.#open(signal, database);
    const databases = rowsAt(found, 'databases');
    const each = await readEachDatabase(databases, open, parts, signal);
    signal.throwIfAborted();
    return withEachDatabase(found, each, parts);
  }

  async copyMetadata(withinMs: number, signal: AbortSignal): Promise<CopyMetadata> {
    const bounded = abortedWithin(withinMs, signal);
    return await readCopyMetadata((database) => this.#open(bounded, database), bounded);
  }

  differences(was: JsonObject | null, is: JsonObject): readonly Difference[] {
    return differencesOf(was, is);
  }

  /**
   * Three things outlive a freeze's session: a pause of replay, which the journal records before it
   * is made; a staged backup on the volume; and the evidence files on the volumes of tablespaces,
   * which the journal records too. The server ends an unfinished backup by itself.
   */
  async recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    await this.#freeze.forget();
    const record = pauseInJournal(journal);
    if (record) await endPauseThrough((until) => this.#open(until), record, signal);
    await this.#sweep(signal);
    const paths = journal?.['evidence'];
    if (!Array.isArray(paths)) return;
    const left = await clearEvidence(paths.filter((path) => typeof path === 'string'));
    if (left.length > 0) throw new QuiesceError('ENGINE_FAILED', left.join(' '));
  }

  /** One sweep at a time: on a volume that hangs, each sweep would keep a thread. */
  async #sweep(signal: AbortSignal): Promise<void> {
    if (this.#dataDir === undefined) return;
    this.#sweeping ??= sweepStaging(this.#dataDir).finally(() => {
      this.#sweeping = undefined;
    });
    await unlessAborted(this.#sweeping, signal);
  }

  async verify(
    receipt: Receipt,
    options: VerifyOptions,
    signal: AbortSignal,
  ): Promise<VerifyResult> {
    return await verifyReceipt(
      { settings: this.#settings, dataDir: this.#dataDir },
      receipt,
      options,
      signal,
    );
  }

  async isEmpty(signal: AbortSignal): Promise<boolean> {
    return await hasNoData(this.#settings, signal);
  }

  async close(): Promise<void> {
    await this.#freeze.forget();
    await this.#keptSession.end();
  }

  async #open(signal: AbortSignal, database = this.#settings.database): Promise<Session> {
    return await Session.open({ ...this.#settings, database }, signal);
  }

  async #with<T>(signal: AbortSignal, work: (session: Session) => Promise<T>): Promise<T> {
    return await withSession(this.#open(signal), work);
  }
}
