import { randomUUID } from 'node:crypto';
import type { Receipt } from '../../receipt/receipt.ts';
import type {
  CopyMetadata,
  Difference,
  Engine,
  FreezeContext,
  Hold,
  JsonObject,
  Probe,
  VerifyOptions,
  VerifyResult,
} from '../engine.ts';
import { capabilitiesOf } from '../names.ts';
import { engineModule, TwoStep } from '../shared/two-step.ts';
import { withSession } from '../shared/with-session.ts';
import { abortedWithin, unlessAborted } from '../../lib/deadline.ts';
import { holdServer } from './freeze/freeze.ts';
import { requireUnlocked } from './freeze/fsync-lock.ts';
import { ownFiles } from './data-dir/own-files.ts';
import { differencesOf, readCopyMetadata } from './metadata/copy-metadata.ts';
import { readMetadata } from './metadata/metadata.ts';
import { type PreparedFreeze, prepareFreeze } from './freeze/prepare.ts';
import { hasNoData } from './verify/empty.ts';
import { recoverLock } from './freeze/recover.ts';
import { readServer, toProbe } from './server.ts';
import { Session } from './connection/session.ts';
import { type MongoSettings, parseSettings } from './connection/settings.ts';
import { verifyReceipt } from './verify/verify.ts';

/** MongoDB 4.4 and newer; configured by the `MONGODB_…` settings. */
export const { checkSettings, createEngine } = engineModule(
  parseSettings,
  (settings, { dataDir }) => new MongoEngine(settings, dataDir),
);

class MongoEngine implements Engine {
  readonly name = 'mongodb';
  readonly capabilities = capabilitiesOf('mongodb');
  readonly ownFiles = ownFiles;
  readonly #settings: MongoSettings;
  readonly #dataDir: string | undefined;
  /** A freeze of ours is in progress or held, so a lock on the server may be ours. */
  #busy = false;
  /** Only one recovery runs at a time: the same lock must not be released twice. */
  #recovering: Promise<void> | undefined;
  readonly #freeze = new TwoStep<PreparedFreeze>(({ session }) => {
    this.#busy = false;
    return session.close();
  });

  constructor(settings: MongoSettings, dataDir: string | undefined) {
    this.#settings = settings;
    this.#dataDir = dataDir;
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return await this.#ask(signal, async (session) => {
      const server = await readServer(session, signal);
      if (server.role === 'router' || server.role === 'arbiter') return toProbe(server);
      // A lock of our own freeze does not make the server unready.
      if (!this.#busy && !this.#recovering) await requireUnlocked(session, signal);
      return toProbe(server);
    });
  }

  async prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    const client = `quiesce ${randomUUID()}`;
    const open = (): Promise<Session> => {
      this.#busy = true;
      return this.#open(signal, client);
    };
    const known = { client, settings: this.#settings, dataDir: this.#dataDir, context };
    const work = (session: Session): Promise<PreparedFreeze> =>
      prepareFreeze({ ...known, session }, signal);
    try {
      await this.#freeze.prepare(open, work, signal);
    } catch (error) {
      this.#busy = false;
      throw error;
    }
  }

  async hold(_context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    const onReleased = (): void => {
      this.#busy = false;
    };
    return await this.#freeze.hold((prepared) => holdServer(prepared, signal, onReleased));
  }

  async metadata(signal: AbortSignal): Promise<JsonObject> {
    return await this.#ask(signal, (session) => readMetadata(session, signal));
  }

  async copyMetadata(withinMs: number, signal: AbortSignal): Promise<CopyMetadata> {
    const bounded = abortedWithin(withinMs, signal);
    return await this.#ask(bounded, (session) => readCopyMetadata(session, bounded));
  }

  differences(was: JsonObject | null, is: JsonObject): readonly Difference[] {
    return differencesOf(was, is);
  }

  async recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    await this.#freeze.forget();
    this.#recovering ??= this.#recover(journal, signal).finally(() => {
      this.#recovering = undefined;
    });
    await unlessAborted(this.#recovering, signal);
  }

  async verify(
    receipt: Receipt,
    options: VerifyOptions,
    signal: AbortSignal,
  ): Promise<VerifyResult> {
    return await this.#ask(signal, (session) => verifyReceipt(session, receipt, options, signal));
  }

  async isEmpty(signal: AbortSignal): Promise<boolean> {
    return await this.#ask(signal, (session) => hasNoData(session, signal));
  }

  async close(): Promise<void> {
    await this.#freeze.forget();
  }

  async #recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    if (journal === null) return;
    await withSession(this.#open(signal, 'quiesce'), (session) =>
      recoverLock(session, journal, signal),
    );
  }

  async #open(signal: AbortSignal, appName: string): Promise<Session> {
    return await Session.open({ settings: this.#settings, appName }, signal);
  }

  async #ask<T>(signal: AbortSignal, work: (session: Session) => Promise<T>): Promise<T> {
    const opening = Session.open({ settings: this.#settings, single: true }, signal);
    return await withSession(opening, work);
  }
}
