export type VolumeKind = 'btrfs' | 'stopped-copy';

/** A finished copy of the volume. */
export interface Snapshot {
  /** The folder of the copy, in which a second server can start. */
  readonly path: string;
  /** One phrase: how it was made. */
  readonly how: string;
  /** How long the copy took, in milliseconds. */
  readonly ms: number;
  /** How long the server's processes were stopped for it, in milliseconds; 0 for btrfs. */
  readonly stalledMs: number;
}

/** A folder for a server's data that can be copied atomically. */
export interface Volume {
  readonly kind: VolumeKind;
  /** The root of the volume: the folder that a pod would mount. */
  readonly path: string;
  /** Why it is not a btrfs; `undefined` if it is, or if the caller chose the kind. */
  readonly reason: string | undefined;
  /** @param name the copy's name, unique for each call: letters, digits and dashes. */
  snapshot(name: string): Promise<Snapshot>;
  /** Leaves the volume in place when this process exits. */
  keep(): Promise<void>;
  /** Removes the volume and its copies. Stop the servers on them first. Idempotent. */
  dispose(): Promise<void>;
}

export interface VolumeOptions {
  /** Default: `btrfs` if this process can make one, otherwise `stopped-copy`. */
  readonly kind?: VolumeKind;
  /** The process id of the server on the volume: `stopped-copy` stops it and all its children. */
  readonly postmaster?: () => number | undefined;
}
