import { isErrno } from '../../lib/durable-files.ts';

/**
 * Entries that file systems, their tools and desktops create at the root of a volume: ext's `lost+found`,
 * the snapshots of NFS filers, btrfs and ZFS, trash cans, quota tables. They never belong to a database.
 */
const NAMES = new Set([
  'lost+found',
  '.snapshot',
  '.snapshots',
  '~snapshot',
  '.zfs',
  '.Trashes',
  '$RECYCLE.BIN',
  'System Volume Information',
]);
const PATTERN = /^(?:\.Trash(?:-\d+)?|a?quota\.(?:user|group|project))$/;

export function isForeign(name: string): boolean {
  return NAMES.has(name) || PATTERN.test(name);
}

/** Whether this user lacks the permission. */
export function isDenied(error: unknown): boolean {
  return isErrno(error, 'EACCES') || isErrno(error, 'EPERM');
}

interface Owned {
  readonly uid: number;
  readonly mode: number;
}

/**
 * Whether the server may use an entry that this user may not read. An entry that belongs to another user
 * and gives no rights to its group or to others is not the server's.
 *
 * @param server the owner of the server's data.
 */
export function mayBeTheServers(entry: Owned, server: { readonly uid: number }): boolean {
  return entry.uid === server.uid || (entry.mode & 0o077) !== 0;
}
