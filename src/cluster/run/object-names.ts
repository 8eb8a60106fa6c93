import { createHash } from 'node:crypto';

/** Fits a label, so that a name can be one, too. */
const LONGEST = 63;

/**
 * A name for an object of a run: what it is of, and the moment and random part of the run's id. If that is
 * too long or not legal, a digest of the whole keeps it unique.
 */
export function objectName(
  of: string,
  { id, group }: { readonly id: string; readonly group: string },
): string {
  const own = id.startsWith(`${group}-`) ? id.slice(group.length + 1) : id;
  const plain = `${of}-${own}`;
  if (plain.length <= LONGEST && legal(plain) === plain) return plain;
  const digest = createHash('sha256').update(`${of}\n${id}`).digest('hex').slice(0, 10);
  const tail = legal(own).slice(-30);
  const room = LONGEST - digest.length - tail.length - 2;
  return legal(`${legal(of).slice(0, room)}-${tail}-${digest}`);
}

function legal(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
}
