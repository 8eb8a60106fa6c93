import { randomUUID } from 'node:crypto';
import { QuiesceError } from '../../errors.ts';
import type { Receipt } from '../../receipt/receipt.ts';
import type {
  Engine,
  FreezeContext,
  Hold,
  JsonObject,
  Probe,
  SettingIssue,
  VerifyOptions,
  VerifyResult,
} from '../engine.ts';
import { capabilitiesOf } from '../names.ts';
import { withSession } from '../shared/with-session.ts';
import { unlessAborted } from '../../lib/deadline.ts';
import { holdServer } from './freeze/freeze.ts';
import { requireUnlocked } from './freeze/fsync-lock.ts';
import { readMetadata } from './metadata/metadata.ts';
import { type Prepared, prepareFreeze } from './freeze/prepare.ts';
import { recoverLock } from './freeze/recover.ts';
import { readServer, toProbe } from './server.ts';
import { Session } from './connection/session.ts';
import { type MongoSettings, parseSettings } from './connection/settings.ts';
import { verifyReceipt } from './verify/verify.ts';

interface MongoOptions {
  /** The `MONGODB_…` names. */
  readonly settings: Readonly<Record<string, string | undefined>>;
  /** QUIESCE_DATA_DIR. */
  readonly dataDir: string | undefined;
}

/** What is wrong with the engine's own settings, by name. */
export function checkSettings(
  settings: Readonly<Record<string, string | undefined>>,
): readonly SettingIssue[] {
  return parseSettings(settings).issues;
}

export function createEngine(options: MongoOptions): Engine {
  return new MongoEngine(parseSettings(options.settings).settings, options.dataDir);
}

class MongoEngine implements Engine {
  readonly name = 'mongodb';
  readonly capabilities = capabilitiesOf('mongodb');
  readonly #settings: MongoSettings;
  readonly #dataDir: string | undefined;
  #prepared: Prepared | undefined;
  /** A freeze of ours is under way or held: the lock that is seen may be ours. */
  #busy = false;
  /** One release at a time: the same lock must not be released twice. */
  #recovering: Promise<void> | undefined;
  readonly #onAbort = (): void => void this.#forget();

  constructor(settings: MongoSettings, dataDir: string | undefined) {
    this.#settings = settings;
    this.#dataDir = dataDir;
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return await this.#ask(signal, async (session) => {
      const server = await readServer(session, signal);
      if (server.role === 'router' || server.role === 'arbiter') return toProbe(server);
      // The lock of a freeze of ours stands in nobody's way.
      if (!this.#busy && !this.#recovering) await requireUnlocked(session, signal);
      return toProbe(server);
    });
  }

  async prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    await this.#forget();
    this.#busy = true;
    try {
      const client = `quiesce ${randomUUID()}`;
      const session = await this.#open(signal, client);
      try {
        const known = {
          session,
          client,
          settings: this.#settings,
          dataDir: this.#dataDir,
          context,
        };
        this.#prepared = await prepareFreeze(known, signal);
        // A freeze that ends between prepare and hold leaves its connections to nobody else.
        signal.addEventListener('abort', this.#onAbort, { once: true });
      } catch (error) {
        await session.close();
        throw error;
      }
    } catch (error) {
      this.#busy = false;
      throw error;
    }
  }

  async hold(_context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    const prepared = this.#prepared;
    signal.removeEventListener('abort', this.#onAbort);
    if (!prepared) throw new QuiesceError('INTERNAL', 'hold was called without prepare');
    try {
      const hold = await holdServer(prepared, signal, () => {
        this.#busy = false;
      });
      this.#prepared = undefined;
      return hold;
    } catch (error) {
      await this.#forget();
      throw error;
    }
  }

  async metadata(signal: AbortSignal): Promise<JsonObject> {
    return await this.#ask(signal, (session) => readMetadata(session, signal));
  }

  async recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    await this.#forget();
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

  async close(): Promise<void> {
    await this.#forget();
  }

  async #recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    if (journal === null) return;
    await withSession(this.#open(signal, 'quiesce'), (session) =>
      recoverLock(session, journal, signal),
    );
  }

  async #forget(): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    if (prepared) this.#busy = false;
    await prepared?.session.close();
  }

  async #open(signal: AbortSignal, appName: string): Promise<Session> {
    return await Session.open({ settings: this.#settings, appName }, signal);
  }

  async #ask<T>(signal: AbortSignal, work: (session: Session) => Promise<T>): Promise<T> {
    const opening = Session.open({ settings: this.#settings, single: true }, signal);
    return await withSession(opening, work);
  }
}
