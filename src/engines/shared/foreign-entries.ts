import { isErrno } from '../../lib/durable-files.ts';

/**
 * What file systems, their tools and desktops put at the root of a volume: ext's `lost+found`, the
 * snapshots of NFS filers and of btrfs and ZFS, trash cans, tables of quotas. No database's, whoever may
 * read it.
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

/** This user may not look there. */
export function isDenied(error: unknown): boolean {
  return isErrno(error, 'EACCES') || isErrno(error, 'EPERM');
}

interface Owned {
  readonly uid: number;
  readonly mode: number;
}

/**
 * May the server use something that this user may not read? Only its owner, its group and everybody can
 * be given rights, so what belongs to somebody else and opens to nobody is not the server's.
 *
 * @param server the owner of the server's data.
 */
export function mayBeTheServers(entry: Owned, server: { readonly uid: number }): boolean {
  return entry.uid === server.uid || (entry.mode & 0o077) !== 0;
}
