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
import { capabilitiesOf } from '../names.ts';
import { engineModule, TwoStep } from '../shared/two-step.ts';
import { withSession } from '../shared/with-session.ts';
import { holdServer, type PreparedFreeze } from './freeze/freeze.ts';
import { ReconnectingSession } from './connection/reconnecting.ts';
import { ownFiles } from './data-dir/own-files.ts';
import { differencesOf, readCopyMetadata } from './metadata/copy-metadata.ts';
import { readMetadata } from './metadata/metadata.ts';
import { planFreeze } from './freeze/prepare.ts';
import { catchUp } from './freeze/catch-up.ts';
import { keyCounts, readServer, toProbe } from './server.ts';
import { Session } from './connection/session.ts';
import { parseSettings, type RedisSettings } from './connection/settings.ts';
import { changesIn } from './freeze/config-changes.ts';
import { undoChanges } from './freeze/recover.ts';
import { verifyReceipt } from './verify/verify.ts';
import { abortedWithin } from '../../lib/deadline.ts';

/** Redis 6.2 and newer, and Valkey; configured by the `REDIS_…` settings. */
export const { checkSettings, createEngine } = engineModule(
  parseSettings,
  (settings, options) => new RedisEngine(settings, options),
);

class RedisEngine implements Engine {
  readonly name = 'redis';
  readonly capabilities = capabilitiesOf('redis');
  readonly ownFiles = ownFiles;
  readonly #settings: RedisSettings;
  readonly #options: EngineOptions;
  readonly #freeze = new TwoStep<PreparedFreeze>(({ connection }) => connection.close());

  constructor(settings: RedisSettings, options: EngineOptions) {
    this.#settings = settings;
    this.#options = options;
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return await this.#with(signal, async (session) => toProbe(await readServer(session, signal)));
  }

  async prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    const open = (again: AbortSignal): Promise<Session> => Session.open(this.#settings, again);
    const work = async (session: Session): Promise<PreparedFreeze> => {
      const plan = await planFreeze(session, this.#options.dataDir, context, signal);
      const replica = plan.server.role === 'replica';
      const caughtUp = replica ? await catchUp(session, this.#settings, context, signal) : null;
      if (caughtUp) this.#options.onReplicaWait?.(caughtUp.waitedMs / 1_000);
      const { sampleKeys } = this.#settings;
      return { plan, caughtUp, sampleKeys, connection: new ReconnectingSession(session, open) };
    };
    await this.#freeze.prepare(() => open(signal), work, signal);
  }

  async hold(context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    return await this.#freeze.hold((prepared) => holdServer(prepared, context, signal));
  }

  async metadata(signal: AbortSignal): Promise<JsonObject> {
    return await this.#with(signal, (session) => readMetadata(session, signal));
  }

  async copyMetadata(withinMs: number, signal: AbortSignal): Promise<CopyMetadata> {
    const bounded = abortedWithin(withinMs, signal);
    return await this.#with(bounded, (session) => readCopyMetadata(session, bounded));
  }

  differences(was: JsonObject | null, is: JsonObject): readonly Difference[] {
    return differencesOf(was, is);
  }

  /** Ends the pause and restores the settings listed in the journal. Does nothing without that list. */
  async recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    await this.#freeze.forget();
    const changes = changesIn(journal);
    if (changes)
      await this.#with(signal, (session) => undoChanges(session, changes, false, signal));
  }

  async verify(
    receipt: Receipt,
    options: VerifyOptions,
    signal: AbortSignal,
  ): Promise<VerifyResult> {
    const { dataDir } = this.#options;
    return await this.#with(signal, (session) =>
      verifyReceipt(session, dataDir, receipt, options, signal),
    );
  }

  async isEmpty(signal: AbortSignal): Promise<boolean> {
    return await this.#with(signal, async (session) => {
      const { info } = await readServer(session, signal);
      return Object.keys(keyCounts(info)).length === 0;
    });
  }

  async close(): Promise<void> {
    await this.#freeze.forget();
  }

  async #with<T>(signal: AbortSignal, work: (session: Session) => Promise<T>): Promise<T> {
    return await withSession(Session.open(this.#settings, signal), work);
  }
}
