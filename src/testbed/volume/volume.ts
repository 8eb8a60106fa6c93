export type VolumeKind = 'btrfs' | 'stopped-copy';

/** A finished copy of the volume. */
export interface Snapshot {
  /** Where the copy lies: a folder that a second server can start in. */
  readonly path: string;
  /** One sentence on how it was made. */
  readonly how: string;
  /** How long it took, in milliseconds. */
  readonly ms: number;
  /** How long the server's processes stood still for it, in milliseconds; 0 for btrfs. */
  readonly stalledMs: number;
}

/** A folder for a server's data that can be copied atomically, as of one moment. */
export interface Volume {
  readonly kind: VolumeKind;
  /** The root of the volume: what a pod would mount. */
  readonly path: string;
  /** Why it is not btrfs; `undefined` when it is, or when the kind was asked for. */
  readonly reason: string | undefined;
  /** @param name of the copy, one a call; letters, digits and dashes. */
  snapshot(name: string): Promise<Snapshot>;
  /** Leaves the volume in place when this process ends. */
  keep(): Promise<void>;
  /** Removes volume and copies. Stop the servers on them first. Idempotent. */
  dispose(): Promise<void>;
}

export interface VolumeOptions {
  /** Default: btrfs where this process can make one, otherwise the copy of a stopped server. */
  readonly kind?: VolumeKind;
  /** The process id of the server on the volume: `stopped-copy` stops it and all its children. */
  readonly postmaster?: () => number | undefined;
}
