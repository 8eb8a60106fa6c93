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
import { holdServer, type Prepared } from './freeze/freeze.ts';
import { Link } from './connection/reconnecting.ts';
import { readMetadata } from './metadata/metadata.ts';
import { makePlan } from './freeze/prepare.ts';
import { catchUp } from './freeze/catch-up.ts';
import { readServer, toProbe } from './server.ts';
import { Session } from './connection/session.ts';
import { parseSettings, type RedisSettings } from './connection/settings.ts';
import { claimIn } from './freeze/config-changes.ts';
import { endClaim } from './freeze/recover.ts';
import { verifyReceipt } from './verify/verify.ts';

interface RedisOptions {
  /** The `REDIS_…` names. */
  readonly settings: Readonly<Record<string, string | undefined>>;
  /** QUIESCE_DATA_DIR. */
  readonly dataDir: string | undefined;
  /** Called with what a replica has taken to catch up with its primary. */
  readonly onReplicaWait?: (seconds: number) => void;
}

/** What is wrong with the engine's own settings, by name. */
export function checkSettings(
  settings: Readonly<Record<string, string | undefined>>,
): readonly SettingIssue[] {
  return parseSettings(settings).issues;
}

/** Redis 6.2 and newer, and Valkey. */
export function createEngine(options: RedisOptions): Engine {
  return new RedisEngine(parseSettings(options.settings).settings, options);
}

class RedisEngine implements Engine {
  readonly name = 'redis';
  readonly capabilities = capabilitiesOf('redis');
  readonly #settings: RedisSettings;
  readonly #options: RedisOptions;
  #prepared: Prepared | undefined;
  readonly #onAbort = (): void => this.#forget();

  constructor(settings: RedisSettings, options: RedisOptions) {
    this.#settings = settings;
    this.#options = options;
  }

  async probe(signal: AbortSignal): Promise<Probe> {
    return await this.#with(signal, async (session) => toProbe(await readServer(session, signal)));
  }

  async prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    this.#forget();
    const open = (again: AbortSignal): Promise<Session> => Session.open(this.#settings, again);
    const session = await open(signal);
    try {
      const plan = await makePlan(session, this.#options.dataDir, context, signal);
      const replica = plan.server.role === 'replica';
      const caughtUp = replica ? await catchUp(session, this.#settings, context, signal) : null;
      if (caughtUp) this.#options.onReplicaWait?.(caughtUp.waitedMs / 1_000);
      const { sampleKeys } = this.#settings;
      this.#prepared = { plan, caughtUp, sampleKeys, link: new Link(session, open) };
      // A freeze that ends between prepare and hold leaves its connection to nobody else.
      signal.addEventListener('abort', this.#onAbort, { once: true });
    } catch (error) {
      session.close();
      throw error;
    }
  }

  async hold(context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    signal.removeEventListener('abort', this.#onAbort);
    if (!prepared) throw new QuiesceError('INTERNAL', 'hold was called without prepare');
    return await holdServer(prepared, context, signal);
  }

  async metadata(signal: AbortSignal): Promise<JsonObject> {
    return await this.#with(signal, (session) => readMetadata(session, signal));
  }

  /** Ends the pause and puts back the settings that the journal names; without them nothing is known. */
  async recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    this.#forget();
    const claim = claimIn(journal);
    if (claim) await this.#with(signal, (session) => endClaim(session, claim, false, signal));
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

  async close(): Promise<void> {
    this.#forget();
  }

  #forget(): void {
    this.#prepared?.link.close();
    this.#prepared = undefined;
  }

  async #with<T>(signal: AbortSignal, work: (session: Session) => Promise<T>): Promise<T> {
    return await withSession(Session.open(this.#settings, signal), work);
  }
}
