import type { Receipt } from '../receipt/receipt.ts';
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
} from './engine.ts';
import { OneAtATime } from '../lib/one-at-a-time.ts';
import { SharedAnswer } from '../lib/shared-answer.ts';

/**
 * Bounds the connections to a database, however often the engine is called. Readiness, metadata and
 * verification each run once at a time, with one session. Concurrent calls for readiness or metadata share
 * one answer; verifications wait for each other. A freeze, its release and a recovery are not bounded: they
 * have their own sessions and never wait. `docs/engines/` gives the resulting numbers.
 */
export class BoundedEngine implements Engine {
  readonly name;
  readonly capabilities;
  readonly ownFiles;
  readonly #engine: Engine;
  readonly #probe: SharedAnswer<Probe>;
  readonly #metadata: SharedAnswer<JsonObject>;
  readonly #describing = new OneAtATime();
  readonly #verifying = new OneAtATime();

  constructor(engine: Engine) {
    this.#engine = engine;
    this.name = engine.name;
    this.capabilities = engine.capabilities;
    this.ownFiles = engine.ownFiles;
    this.#probe = new SharedAnswer((signal) => engine.probe(signal));
    this.#metadata = new SharedAnswer((signal) =>
      this.#describing.run(() => engine.metadata(signal), signal),
    );
  }

  probe(signal: AbortSignal): Promise<Probe> {
    return this.#probe.ask(signal);
  }

  metadata(signal: AbortSignal): Promise<JsonObject> {
    return this.#metadata.ask(signal);
  }

  copyMetadata(withinMs: number, signal: AbortSignal): Promise<CopyMetadata> {
    return this.#describing.run(() => this.#engine.copyMetadata(withinMs, signal), signal);
  }

  differences(was: JsonObject | null, is: JsonObject): readonly Difference[] {
    return this.#engine.differences(was, is);
  }

  verify(receipt: Receipt, options: VerifyOptions, signal: AbortSignal): Promise<VerifyResult> {
    return this.#verifying.run(() => this.#engine.verify(receipt, options, signal), signal);
  }

  isEmpty(signal: AbortSignal): Promise<boolean> {
    return this.#verifying.run(() => this.#engine.isEmpty(signal), signal);
  }

  prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    return this.#engine.prepare(context, signal);
  }

  hold(context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    return this.#engine.hold(context, signal);
  }

  recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    return this.#engine.recover(journal, signal);
  }

  close(): Promise<void> {
    return this.#engine.close();
  }
}
