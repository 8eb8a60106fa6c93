import type { CopyMethod } from '../receipt/receipt.ts';

/** What is known of an engine without loading it. */
interface EngineEntry {
  /** A regular expression of the names of its settings, whole and without `_FILE` or `_DEFAULT`. */
  readonly settings: string;
  /** Settings whose values are secret, or contain one. */
  readonly secrets: readonly string[];
  /** Which of its settings make a login. */
  readonly login: Login;
  /** Says in `quiesce sidecar --help` how the server is reached; lines of 100 characters at most. */
  readonly help: string;
  /** Says in `quiesce prepare-restore --help` what it does with a copy; lines of 100 characters at most. */
  readonly restoreHelp: string;
  /** The port of a server that is told nothing else. */
  readonly port: number;
  /** A regular expression of what people call that port in a pod, whole. */
  readonly portName: string;
  /** Writers wait while a hold is in place. */
  readonly blocksWrites: boolean;
  /** The copy methods for which it has a freeze that keeps its promise. */
  readonly copies: readonly CopyMethod[];
}

export interface Login {
  readonly username: string;
  readonly password: string;
  /** Settings that may bring a password in place of `password`. */
  readonly others: readonly string[];
  /** A connection string, which brings a password only where it names a user. */
  readonly url?: string;
  /** Holds the folder of a Unix socket, over which a login may need no password. */
  readonly socket?: string;
}

/**
 * Every engine. Whatever lists engines, or tells their settings from others, takes it from here: config,
 * log, injection, doctor, help. It imports nothing, so that all of them may load it.
 */
export const ENGINES = {
  postgres: {
    settings: 'PG[A-Z]+',
    secrets: ['PGPASSWORD', 'PGSSLPASSWORD'],
    login: {
      username: 'PGUSER',
      password: 'PGPASSWORD',
      others: ['PGPASSFILE', 'PGSERVICEFILE'],
      socket: 'PGHOST',
    },
    help: `PostgreSQL is reached by libpq's own names: PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE,
PGSSLMODE, PGSSLROOTCERT, ...`,
    restoreHelp: `For PostgreSQL it
  - reads WAL record by record, with checksums, up to the marker of the freeze,
  - looks for data pages that are newer than that WAL (the copy was not atomic then),
  - makes sure that no server runs or has run on the copy,
  - writes backup_label (and tablespace_map) into the data directory.`,
    port: 5432,
    portName: 'postgres(?:ql)?',
    blocksWrites: false,
    copies: ['snapshot', 'volumes', 'files'],
  },
  redis: {
    settings: 'REDIS_[A-Z0-9_]+',
    secrets: ['REDIS_PASSWORD', 'REDIS_URL', 'REDIS_TLS_KEY'],
    login: {
      username: 'REDIS_USERNAME',
      password: 'REDIS_PASSWORD',
      others: [],
      url: 'REDIS_URL',
    },
    help: `Redis and Valkey are reached by REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_USERNAME,
REDIS_PASSWORD, REDIS_TLS, ...`,
    restoreHelp:
      'For Redis it compares every file with the receipt, and says how the server must be started.',
    port: 6379,
    portName: 'redis|valkey',
    blocksWrites: true,
    // Everything stands still during a hold, so files may be copied one by one as well.
    copies: ['snapshot', 'volumes', 'files'],
  },
  mongodb: {
    settings: 'MONGODB_[A-Z0-9_]+',
    secrets: ['MONGODB_PASSWORD', 'MONGODB_URI'],
    login: {
      username: 'MONGODB_USERNAME',
      password: 'MONGODB_PASSWORD',
      others: [],
      url: 'MONGODB_URI',
    },
    help: `MongoDB is reached by MONGODB_URI, with MONGODB_USERNAME, MONGODB_PASSWORD and
MONGODB_AUTH_SOURCE as well.`,
    restoreHelp: `For MongoDB it makes sure that the copy was cut under the lock and has every table of it,
and prints what needs a running server: how to start it alone, or as a new set.`,
    port: 27_017,
    portName: 'mongo(?:db|d)?',
    blocksWrites: true,
    // That of several volumes was not measured.
    copies: ['snapshot', 'files'],
  },
} as const satisfies Readonly<Record<string, EngineEntry>>;

export type EngineName = keyof typeof ENGINES;

/** The names of QUIESCE_ENGINE. */
export const ENGINE_NAMES = Object.keys(ENGINES) as EngineName[];

/** The name may be one that a receipt or a person gives, even that of a property of every object. */
export function isEngine(name: string): name is EngineName {
  return Object.hasOwn(ENGINES, name);
}

export function entryOf(name: EngineName): EngineEntry {
  return ENGINES[name];
}

/** Settings of any engine whose values are secret, or contain one. */
export const SECRET_SETTINGS: readonly string[] = ENGINE_NAMES.flatMap(
  (name) => entryOf(name).secrets,
);

/** A regular expression of any engine's settings, in the form of `settings`. */
export const ANY_SETTING = ENGINE_NAMES.map((name) => entryOf(name).settings).join('|');

const WHOLE = new RegExp(`^(?:${ANY_SETTING})$`);

/**
 * Whether this is a setting of that engine, or of any where none is named. A `_FILE` or `_DEFAULT` at
 * its end is the caller's to take off: libpq's names have no underscore.
 */
export function isEngineSetting(name: string, engine?: EngineName): boolean {
  if (engine === undefined) return WHOLE.test(name);
  return new RegExp(`^(?:${entryOf(engine).settings})$`).test(name);
}

/** What an engine claims, as its `capabilities`. */
export function capabilitiesOf(name: EngineName): Pick<EngineEntry, 'blocksWrites' | 'copies'> {
  const { blocksWrites, copies } = entryOf(name);
  return { blocksWrites, copies };
}
