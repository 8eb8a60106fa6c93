import type { CopyMetadata, Difference, Json, JsonObject } from '../../engine.ts';
import { changed, isObject, majorOf, missing, textOf, valueAt } from '../../shared/differ.ts';
import { Parts } from '../../shared/parts.ts';
import type { Session } from '../connection/session.ts';
import { readMetadata } from './metadata.ts';

/**
 * The settings of type text whose values may travel with a copy. All others may be paths of keys, addresses
 * or passwords: of them only the name travels. Numbers and switches always may, but for those named like a
 * secret.
 */
const TEXT_SHOWN: ReadonlySet<string> = new Set([
  'net.bindIp',
  'net.compression.compressors',
  'net.ssl.mode',
  'net.tls.disabledProtocols',
  'net.tls.mode',
  'operationProfiling.mode',
  'replication.replSet',
  'replication.replSetName',
  'security.authorization',
  'security.clusterAuthMode',
  'setParameter.authenticationMechanisms',
  'setParameter.featureCompatibilityVersion',
  'sharding.clusterRole',
  'storage.dbPath',
  'storage.engine',
  'storage.wiredTiger.collectionConfig.blockCompressor',
  'storage.wiredTiger.engineConfig.journalCompressor',
  'systemLog.destination',
  'systemLog.logRotate',
  'systemLog.timeStampFormat',
]);
const WITHHELD = '(set; its value does not travel)';
const REDACTED = '(redacted)';

/** What of the metadata travels with a copy: users and roles only by name, settings from an allow-list. */
export async function readCopyMetadata(
  session: Session,
  signal: AbortSignal,
): Promise<CopyMetadata> {
  const parts = new Parts();
  const found = await readMetadata(session, signal, parts);
  const { notAllowed: _rights, notes = [], parameters = {}, ...rest } = found;
  for (const note of notes as readonly string[]) {
    const part = /^The (\w+)/.exec(note)?.[1] ?? 'a part';
    parts.leaveOut(part, note);
  }
  return parts.collect({
    ...rest,
    databases: bounded(parts, 'databases', rest['databases']),
    users: bounded(parts, 'users', rest['users']),
    roles: bounded(parts, 'roles', rest['roles']),
    parameters: shownParameters(parameters),
  });
}

function bounded(parts: Parts, name: string, rows: Json | undefined): Json {
  return Array.isArray(rows) ? parts.bounded(name, rows as readonly Json[]) : (rows ?? null);
}

/** Pure: the settings with only those values that may travel. */
export function shownParameters(value: Json, path: readonly string[] = []): Json {
  if (isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, shownParameters(one, [...path, key])]),
    );
  }
  if (value === REDACTED) return WITHHELD;
  if (Array.isArray(value) || typeof value === 'string') {
    // `setParameter` gives numbers and switches as text.
    const simple = typeof value === 'string' && /^(?:true|false|\d+)$/.test(value);
    return simple || TEXT_SHOWN.has(path.join('.')) ? value : WITHHELD;
  }
  return value;
}

/** Pure: in what a server differs from the copy of its data; see `Engine.differences`. */
export function differencesOf(was: JsonObject | null, is: JsonObject): Difference[] {
  const at = (metadata: JsonObject | null, key: string): Json => valueAt(metadata, key);
  return [
    ...changed('architecture', 'server', at(was, 'architecture'), at(is, 'architecture')),
    ...versions(at(was, 'version'), at(is, 'version')),
    ...changed(
      'compatibility-version',
      'featureCompatibilityVersion',
      at(was, 'featureCompatibilityVersion'),
      at(is, 'featureCompatibilityVersion'),
    ),
    ...gone('role', was, is, 'roles', ({ role, db }) => `${textOf(role)}@${textOf(db)}`),
    ...gone('user', was, is, 'users', ({ user, db }) => `${textOf(user)}@${textOf(db)}`),
    ...parameters(was, is),
  ];
}

function versions(was: Json, is: Json): Difference[] {
  const older = (majorOf(is) ?? 0) < (majorOf(was) ?? 0);
  const fix = older
    ? 'An older release may not read data that a newer one wrote: use an image of the old version.'
    : undefined;
  return changed('version', 'server', was, is, fix);
}

function gone(
  kind: string,
  was: JsonObject | null,
  is: JsonObject,
  list: string,
  nameOf: (row: JsonObject) => string,
): Difference[] {
  return missing(was, is, list, nameOf).map((what) => ({ kind, what, was: 'there', is: null }));
}

function parameters(was: JsonObject | null, is: JsonObject): Difference[] {
  if (!isObject(was?.['parameters']) || !isObject(is['parameters'])) return [];
  const [before, now] = [flat(was['parameters']), flat(is['parameters'])];
  const names = [...new Set([...before.keys(), ...now.keys()])].toSorted();
  return names.flatMap((name) =>
    changed('setting', name, before.get(name) ?? '(default)', now.get(name) ?? '(default)'),
  );
}

function flat(value: JsonObject, path = ''): Map<string, Json> {
  return new Map(
    Object.entries(value).flatMap(([key, one]): [string, Json][] => {
      const name = path === '' ? key : `${path}.${key}`;
      return isObject(one) ? [...flat(one, name)] : [[name, one]];
    }),
  );
}
