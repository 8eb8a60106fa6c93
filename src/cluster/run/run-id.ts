import { randomBytes } from 'node:crypto';

/** Leaves room for the time and the random part in the value of a label. */
const LONGEST_GROUP = 43;

/** `GROUP-UTCTIME-4HEX`: the id of a run and of every freeze it makes. It is also a label and a name. */
export function newRunId(group: string, now: Date): string {
  const name = group
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, LONGEST_GROUP);
  const trimmed = name.replaceAll(/^-+|-+$/g, '') || 'run';
  const time = now.toISOString().replace(/\..*/, '').replaceAll(/\D/g, '');
  return `${trimmed}-${time}-${randomBytes(2).toString('hex')}`;
}
