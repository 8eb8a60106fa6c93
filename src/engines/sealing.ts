import type { Receipt } from '../receipt/receipt.ts';
import type {
  Breach,
  CopyMetadata,
  Difference,
  Engine,
  FreezeContext,
  Hold,
  HoldEnd,
  JsonObject,
  Probe,
  VerifyOptions,
  VerifyResult,
} from './engine.ts';
import { type Seal, Sealer } from './shared/seal/seal.ts';

const UNDO_WITHIN_MS = 8_000;

/**
 * Syncs, with every freeze for a snapshot, the files on the data volume that its engine leaves to the
 * kernel. Copies file by file read through the page cache and need none of it.
 *
 * If a hold blocks writers, both looks at the volume come before it. Otherwise the last one comes after it,
 * so that everything written before the hold is on the disk.
 */
export class SealingEngine implements Engine {
  readonly name;
  readonly capabilities;
  readonly ownFiles;
  readonly #engine: Engine;
  readonly #sealer: Sealer | undefined;
  #seal: Seal | undefined;

  /** @param dataDir QUIESCE_DATA_DIR; without it no volume is mounted here, and nothing can be synced */
  constructor(engine: Engine, dataDir: string | undefined) {
    this.name = engine.name;
    this.capabilities = engine.capabilities;
    this.ownFiles = engine.ownFiles;
    this.#engine = engine;
    this.#sealer = dataDir === undefined ? undefined : new Sealer(dataDir, engine.ownFiles);
  }

  async prepare(context: FreezeContext, signal: AbortSignal): Promise<void> {
    this.#forget();
    await this.#engine.prepare(context, signal);
    if (context.copy === 'files') return;
    const seal = await this.#sealer?.begin(context, signal);
    if (!seal) return;
    this.#seal = seal;
    try {
      await seal.first();
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  async hold(context: FreezeContext, signal: AbortSignal): Promise<Hold> {
    const seal = this.#seal;
    this.#seal = undefined;
    if (!seal) return await this.#engine.hold(context, signal);
    try {
      if (this.capabilities.blocksWrites) await seal.again();
      const hold = await this.#engine.hold(context, signal);
      if (!this.capabilities.blocksWrites) await orRelease(hold, () => seal.again());
      seal.outliveSignal();
      return new SealedHold(hold, seal);
    } catch (error) {
      seal.close();
      throw error;
    }
  }

  #forget(): void {
    this.#seal?.close();
    this.#seal = undefined;
  }

  probe(signal: AbortSignal): Promise<Probe> {
    return this.#engine.probe(signal);
  }

  metadata(signal: AbortSignal): Promise<JsonObject> {
    return this.#engine.metadata(signal);
  }

  async recover(journal: JsonObject | null, signal: AbortSignal): Promise<void> {
    this.#forget();
    await this.#engine.recover(journal, signal);
  }

  verify(receipt: Receipt, options: VerifyOptions, signal: AbortSignal): Promise<VerifyResult> {
    return this.#engine.verify(receipt, options, signal);
  }

  copyMetadata(withinMs: number, signal: AbortSignal): Promise<CopyMetadata> {
    return this.#engine.copyMetadata(withinMs, signal);
  }

  differences(was: JsonObject | null, is: JsonObject): readonly Difference[] {
    return this.#engine.differences(was, is);
  }

  isEmpty(signal: AbortSignal): Promise<boolean> {
    return this.#engine.isEmpty(signal);
  }

  async close(): Promise<void> {
    this.#forget();
    await this.#engine.close();
  }
}

async function orRelease(hold: Hold, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // If this fails too, `recover` ends what the engine has journaled.
    await hold.release(AbortSignal.timeout(UNDO_WITHIN_MS)).catch(() => undefined);
    throw error;
  }
}

/** A hold with the seal that was made for it. */
class SealedHold implements Hold {
  readonly renew?: (ttlMs: number, signal: AbortSignal) => Promise<void>;
  readonly longestLeaseMs?: number;
  readonly unsynced: readonly string[];
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
  readonly #hold: Hold;
  readonly #seal: Seal;
  #checked = false;

  constructor(hold: Hold, seal: Seal) {
    this.#hold = hold;
    this.#seal = seal;
    this.unsynced = seal.unsynced;
    this.reasons = [...hold.reasons, ...seal.limits.map(({ code }) => code)];
    this.notes = [...hold.notes, ...seal.limits.map(({ note }) => note)];
    if (hold.longestLeaseMs !== undefined) this.longestLeaseMs = hold.longestLeaseMs;
    if (hold.renew)
      this.renew = (ttlMs, signal) => hold.renew?.(ttlMs, signal) ?? Promise.resolve();
  }

  get mode(): string {
    return this.#hold.mode;
  }

  get server(): Probe {
    return this.#hold.server;
  }

  get writesBlocked(): boolean {
    return this.#hold.writesBlocked;
  }

  get position(): JsonObject {
    return this.#hold.position;
  }

  get restore(): JsonObject {
    return this.#hold.restore;
  }

  get needsReceipt(): boolean {
    return this.#hold.needsReceipt ?? false;
  }

  get journal(): JsonObject {
    return this.#hold.journal;
  }

  get lost(): AbortSignal {
    return this.#hold.lost;
  }

  check(signal: AbortSignal): Promise<readonly Breach[]> {
    this.#checked = true;
    return this.#hold.check(signal);
  }

  /** Looks at the seal once the database is released, so that no writer waits for it. */
  async release(signal: AbortSignal): Promise<HoldEnd | void> {
    const end = await this.#hold.release(signal);
    const found = this.#checked ? await this.#seal.check() : [];
    this.#seal.close();
    if (found.length === 0) return end;
    return { ...end, breaches: [...(end?.breaches ?? []), ...found] };
  }
}
