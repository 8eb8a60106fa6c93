import type { Receipt } from '../receipt/receipt.ts';

/** Progress for a person who waits. `total` is 0 where it is unknown. */
export interface PrepareProgress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

export interface PrepareOptions {
  /** Prove everything, write nothing. */
  readonly dryRun: boolean;
  /**
   * How long to look for damage inside the copy, in milliseconds, where that takes time in proportion to the
   * data; `null` for as long as it takes. Default a minute.
   */
  readonly scanMs?: number | null | undefined;
  readonly onProgress?: ((progress: PrepareProgress) => void) | undefined;
}

export interface PrepareOutcome {
  /**
   * `prepared`: proven, and everything the receipt holds is in place (in a dry run: would be).
   * `already-prepared`: an earlier run proved this copy, and a server has run on it since.
   * `nothing-to-do`: the data carries no receipt.
   */
  readonly outcome: 'prepared' | 'already-prepared' | 'nothing-to-do';
  readonly dryRun: boolean;
  /** The freeze in which the copy was cut; `null` without a receipt. */
  readonly id: string | null;
  readonly engine: string | null;
  /** The engine's data directory, absolute. */
  readonly dataDirectory: string | null;
  /** Files put in place, or found in place with the right content; names within the data directory. */
  readonly placed: readonly string[];
  /** Files removed because they would have prevented the server from starting. */
  readonly removed: readonly string[];
  /** What was proven, in the engine's own terms; `pages`: how many were looked at. */
  readonly proof: Readonly<
    Record<string, string | number | boolean | null | Readonly<Record<string, number>>>
  > | null;
  /** Sentences that the person who restores must read. */
  readonly notes: readonly string[];
  /** One sentence. */
  readonly message: string;
}

/** The part of an engine that prepares a restored copy. Works on files, without a server. */
export interface RestoreModule {
  /**
   * Proves that the copy holds what its receipt promises, and puts in place what the server needs at its
   * first start. Idempotent. Rejects with a `RESTORE_…` error, and has then changed nothing.
   *
   * @param dataDir where the copy of `QUIESCE_DATA_DIR` is mounted; absolute, without symbolic links.
   */
  prepareRestore(
    receipt: Receipt,
    dataDir: string,
    options: PrepareOptions,
    signal: AbortSignal,
  ): Promise<PrepareOutcome>;
}
