import type { Difference, Json, JsonObject } from '../../engine.ts';
import { changed, missing, rowsAt, textOf, valueAt } from '../../shared/differ.ts';
import { quote } from '../connection/sqlstate.ts';

/** The versions from which PostgreSQL records the collation version of a database. */
const RECORDS_FROM = 15;

/** Pure: in what a server differs from the copy of its data; see `Engine.differences`. */
export function differencesOf(was: JsonObject | null, is: JsonObject): Difference[] {
  return [
    ...platform(was, is),
    ...extensions(was, is),
    ...libraries(was, is),
    ...databaseCollations(is),
    ...olderCollations(was, is),
    ...collations(is),
    ...roles(was, is),
    ...settings(was, is),
  ];
}

function platform(was: JsonObject | null, is: JsonObject): Difference[] {
  const at = (metadata: JsonObject | null, key: string): Json => valueAt(metadata, 'server', key);
  const major = changed(
    'version',
    'major version',
    at(was, 'major'),
    at(is, 'major'),
    'Data of one major version does not run under another: use an image of the old one, then upgrade.',
  );
  return [
    ...changed(
      'architecture',
      'server',
      at(was, 'architecture'),
      at(is, 'architecture'),
      'PostgreSQL supports its files on one architecture only: restore on the old one, and move with pg_dump.',
    ),
    ...major,
    ...(major.length > 0
      ? []
      : changed('version', 'server', at(was, 'version'), at(is, 'version'))),
  ];
}

function extensions(was: JsonObject | null, is: JsonObject): Difference[] {
  const before = new Map(rowsAt(was, 'extensions', 'installed').map((row) => [keyOf(row), row]));
  return rowsAt(is, 'extensions', 'installed').flatMap((row): Difference[] => {
    const { name, database, version, available } = row;
    const what = `${textOf(name)} in database ${textOf(database)}`;
    if (available === null || available === undefined) {
      const fix = `This image lacks the extension: whatever uses it fails. Use an image that has ${textOf(name)} ${textOf(version)}.`;
      return [{ kind: 'extension', what, was: version ?? null, is: null, fix }];
    }
    const offered = before.get(keyOf(row))?.['available'] ?? null;
    const fix = `If the image is newer, run in ${textOf(database)}: ALTER EXTENSION ${quote(textOf(name))} UPDATE; if it is older, use the image of the backup.`;
    return changed('extension', `${what}, version in the image`, offered, available, fix);
  });
}

function keyOf({ database, name }: JsonObject): string {
  return JSON.stringify([database, name]);
}

function libraries(was: JsonObject | null, is: JsonObject): Difference[] {
  const preloaded = (metadata: JsonObject | null): string[] => {
    const found = valueAt(metadata, 'libraries', 'preloaded');
    return Array.isArray(found) ? found.map(textOf) : [];
  };
  if (valueAt(is, 'libraries') === null) return [];
  return preloaded(was)
    .filter((name) => !preloaded(is).includes(name))
    .map((name) => ({
      kind: 'library',
      what: name,
      was: 'preloaded',
      is: null,
      fix: 'Use an image that has it, name it in shared_preload_libraries, and restart.',
    }));
}

/** The server compares the two by itself, but tells only each client that connects. */
function databaseCollations(is: JsonObject): Difference[] {
  return rowsAt(is, 'databases').flatMap((row) => {
    const name = textOf(row['name']);
    // A connection to template0 is not allowed, and it has nothing to rebuild.
    const reindex = row['allowsConnections'] === true ? `REINDEX DATABASE ${quote(name)}; ` : '';
    return changed(
      'collation-version',
      `database ${name}`,
      row['collationVersion'] ?? null,
      row['actualCollationVersion'] ?? null,
      `In ${name}: ${reindex}ALTER DATABASE ${quote(name)} REFRESH COLLATION VERSION;`,
    );
  });
}

/** PostgreSQL 13 and 14 record no version for a database: only the copy knows the library. */
function olderCollations(was: JsonObject | null, is: JsonObject): Difference[] {
  if (Number(valueAt(is, 'server', 'major') ?? RECORDS_FROM) >= RECORDS_FROM) return [];
  const before = valueAt(was, 'libraries', 'libc');
  const now = valueAt(is, 'libraries', 'libc');
  return rowsAt(is, 'databases').flatMap((row) => {
    const name = textOf(row['name']);
    const plain = /^(C|POSIX)(\.|$)/.test(textOf(row['collate']));
    if (plain || row['allowsConnections'] !== true) return [];
    const fix = `In ${name}: REINDEX DATABASE ${quote(name)};`;
    return changed('collation-version', `database ${name}`, before, now, fix);
  });
}

function collations(is: JsonObject): Difference[] {
  return rowsAt(is, 'collations').flatMap((row) => {
    const [schema, name, database] = [row['schema'], row['name'], row['database']].map(textOf);
    const own = `${quote(schema ?? '')}.${quote(name ?? '')}`;
    return changed(
      'collation-version',
      `collation ${schema}.${name} in database ${database}`,
      row['recorded'] ?? null,
      row['actual'] ?? null,
      `In ${database}: reindex what uses it (REINDEX DATABASE ${quote(database ?? '')};), then ALTER COLLATION ${own} REFRESH VERSION;`,
    );
  });
}

function roles(was: JsonObject | null, is: JsonObject): Difference[] {
  return missing(was, is, 'roles', ({ name }) => textOf(name)).map((name) => ({
    kind: 'role',
    what: name,
    was: 'there',
    is: null,
    fix: `CREATE ROLE ${quote(name)};`,
  }));
}

/** The server itself decides where these are. */
const PLACES = new Set(['config_file', 'data_directory', 'hba_file', 'ident_file']);

function settings(was: JsonObject | null, is: JsonObject): Difference[] {
  if (!Array.isArray(was?.['settings']) || !Array.isArray(is['settings'])) return [];
  const before = new Map(rowsAt(was, 'settings').map((row) => [textOf(row['name']), row]));
  const now = new Map(rowsAt(is, 'settings').map((row) => [textOf(row['name']), row]));
  const names = [...new Set([...before.keys(), ...now.keys()])].filter((name) => !PLACES.has(name));
  return names.toSorted().flatMap((name) => {
    const [old, present] = [shown(before.get(name)), shown(now.get(name))];
    return changed('setting', name, old, present);
  });
}

function shown(row: JsonObject | undefined): string {
  if (row === undefined) return '(default)';
  if (row['withheld'] === true) return '(set; its value does not travel)';
  return `${textOf(row['value'])}${row['unit'] === null ? '' : ` ${textOf(row['unit'])}`}`;
}
