/**
 * The bounds of the seal. Together they stay well below the default timeout of a freeze, 25 s. A freeze
 * with a shorter one goes on as well: each look then gets a share of the time that is left.
 */
export const LIMITS: SealLimits = {
  lanes: 2,
  files: 100_000,
  firstMs: 10_000,
  againMs: 4_000,
  listMs: 1_000,
  share: 0.3,
  checkMs: 2_000,
  inAnyOrder: 2_000,
  recentMs: 3_600_000,
  named: 100,
  kept: 4_096,
};

export interface SealLimits {
  /** Calls at the same time. One that hangs keeps a thread of Node's pool, which has only four by default. */
  readonly lanes: number;
  /** Files and folders in one look. */
  readonly files: number;
  /** For the looks before the hold. */
  readonly firstMs: number;
  /** For the last look, which syncs what changed since. */
  readonly againMs: number;
  /** For naming what is left when the time of a look is over. */
  readonly listMs: number;
  /** Of the time left until the timeout, for each look and as much again for naming what is left. */
  readonly share: number;
  /** For the second fsync of the kept descriptors at the thaw. */
  readonly checkMs: number;
  /** So many files are synced as they come; in a larger volume those that changed lately come first. */
  readonly inAnyOrder: number;
  /** What counts as lately. */
  readonly recentMs: number;
  /** Names in the receipt. */
  readonly named: number;
  /** Descriptors kept from the first look to the thaw. */
  readonly kept: number;
}
