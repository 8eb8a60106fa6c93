import type { CopyMetadata, Difference, Json, JsonObject } from '../../engine.ts';
import {
  changed,
  isObject,
  majorOf,
  missing,
  rowsAt,
  textOf,
  valueAt,
} from '../../shared/differ.ts';
import { Parts } from '../../shared/parts.ts';
import type { Session } from '../connection/session.ts';
import { readMetadata } from './metadata.ts';

const GRANTED_BY = 'which roles/redis.acl grants';

/** What of the metadata travels with a copy. The settings are those of a fixed list, without secrets. */
export async function readCopyMetadata(
  session: Session,
  signal: AbortSignal,
): Promise<CopyMetadata> {
  const parts = new Parts();
  const found = await readMetadata(session, signal);
  const { notAllowed = [], server, memory: _passing, ...rest } = found;
  for (const rule of notAllowed as readonly string[]) {
    const part = rule.startsWith('acl') ? 'users' : 'settings';
    parts.leaveOut(part, `It needs the right +${rule}, ${GRANTED_BY}.`);
  }
  const { connectedClients: _now, startedSecondsAgo: _ago, ...about } = server as JsonObject;
  return parts.collect({ server: about, ...rest, users: bounded(parts, rest['users']) });
}

function bounded(parts: Parts, users: Json | undefined): Json {
  return Array.isArray(users) ? parts.bounded('users', users as readonly Json[]) : null;
}

/** Pure: in what a server differs from the copy of its data; see `Engine.differences`. */
export function differencesOf(was: JsonObject | null, is: JsonObject): Difference[] {
  const at = (metadata: JsonObject | null, key: string): Json => valueAt(metadata, 'server', key);
  return [
    ...changed('architecture', 'server', at(was, 'architecture'), at(is, 'architecture')),
    ...versions(was, is),
    ...modules(was, is),
    ...missing(was, is, 'users', ({ name }) => textOf(name)).map((what) => ({
      kind: 'user',
      what,
      was: 'there',
      is: null,
      fix: 'Users are in the ACL file or in the configuration: neither has to be on the volume of the data.',
    })),
    ...settings(was, is),
  ];
}

function versions(was: JsonObject | null, is: JsonObject): Difference[] {
  const name = (metadata: JsonObject | null): Json => {
    const [flavor, version] = ['flavor', 'version'].map((key) => valueAt(metadata, 'server', key));
    return typeof version === 'string' ? `${textOf(flavor)} ${version}` : null;
  };
  const major = (metadata: JsonObject | null): number =>
    majorOf(valueAt(metadata, 'server', 'version')) ?? 0;
  const fix =
    major(is) < major(was)
      ? 'An older release may not read files that a newer one wrote: use an image of the old version.'
      : undefined;
  return changed('version', 'server', name(was), name(is), fix);
}

function modules(was: JsonObject | null, is: JsonObject): Difference[] {
  const now = new Map(rowsAt(is, 'modules').map(({ name, version }) => [name, version]));
  return rowsAt(was, 'modules').flatMap(({ name, version = null }): Difference[] => {
    const what = textOf(name);
    const found = now.get(name ?? null);
    if (found !== undefined) return changed('library', what, version, found);
    const fix = `Use an image that has the module ${what}, and load it: its keys cannot be read without it.`;
    return [{ kind: 'library', what, was: version, is: null, fix }];
  });
}

/** Only settings that differ from their defaults are listed. */
function settings(was: JsonObject | null, is: JsonObject): Difference[] {
  const [before, now] = [was?.['settings'], is['settings']];
  if (!isObject(before) || !isObject(now)) return [];
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].toSorted();
  return names.flatMap((name) =>
    changed('setting', name, before[name] ?? '(default)', now[name] ?? '(default)'),
  );
}
