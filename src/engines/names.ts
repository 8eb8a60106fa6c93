import type { CopyMethod } from '../receipt/receipt.ts';

/** Facts about an engine that are known without loading it. */
interface EngineEntry {
  /** A regular expression that matches the whole names of its settings, without `_FILE` or `_DEFAULT`. */
  readonly settings: string;
  /** Settings whose values are secret, or contain one. */
  readonly secrets: readonly string[];
  /** The settings that make up a login. */
  readonly login: Login;
  /** Text for `quiesce sidecar --help`: how to reach the server. Lines of at most 100 characters. */
  readonly help: string;
  /** Text for `quiesce prepare-restore --help`: what it does with a copy. Lines of up to 100 characters. */
  readonly restoreHelp: string;
  /** The server's default port. */
  readonly port: number;
  /** A regular expression that matches the whole of the names commonly given to that port in a pod. */
  readonly portName: string;
  /** Writers wait while a hold is in place. */
  readonly blocksWrites: boolean;
  /**
   * Warnings of its metadata by which commits that it acknowledged may not be on its disk yet. Absent:
   * nothing is known, so it never counts as durable at each commit.
   */
  readonly commitsLostIf?: readonly string[];
  /**
   * Its servers form sets, and one that is held has no vote: a freeze is refused if those that are not held
   * would be no majority of the set.
   */
  readonly keepsMajority?: true;
  /**
   * The field of `restore` in its receipts with the place of the data on the volume; `null` there: the
   * sidecar did not see the data. Absent: its receipts do not say.
   */
  readonly placeField?: string;
  /** The copy methods for which one of its freezes keeps its promise. */
  readonly copies: readonly CopyMethod[];
  /** Those of them for which a volume must be copied after the thaw. Velero copies all before it. */
  readonly copiedAfterThaw?: readonly CopyMethod[];
}

export interface Login {
  readonly username: string;
  readonly password: string;
  /** Settings that may supply a password instead of `password`. */
  readonly others: readonly string[];
  /** A connection string, which supplies a password only if it has a user. */
  readonly url?: string;
  /** The setting that may hold the folder of a Unix socket, over which a login may need no password. */
  readonly socket?: string;
  /** Settings that stand for others: by name, a regular expression that matches the whole names of those. */
  readonly standsFor?: Readonly<Record<string, string>>;
}

/**
 * Every engine. All code that lists engines or recognizes their settings uses this table: config, log,
 * injection, doctor, help. It imports only types, so that all of them may load it.
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
      standsFor: { PGPASSFILE: 'PGPASSWORD', PGSERVICE: 'PG(?!SERVICE|DATABASE)[A-Z]+' },
    },
    help: `PostgreSQL is reached through libpq's own variables: PGHOST, PGPORT, PGUSER, PGPASSWORD,
PGDATABASE, PGSSLMODE, PGSSLROOTCERT, ...`,
    restoreHelp: `For PostgreSQL it
  - reads WAL record by record, with checksums, up to the marker of the freeze,
  - looks for data pages that are newer than that WAL, or older than the last checkpoint
    (then the copy was not atomic),
  - makes sure that no server runs or has run on the copy,
  - writes backup_label (and tablespace_map) into the data directory, where recovery needs them.`,
    port: 5432,
    portName: 'postgres(?:ql)?',
    blocksWrites: false,
    commitsLostIf: ['fsync-off', 'synchronous-commit-off', 'synchronous-commit-hidden'],
    placeField: 'dataDirectory',
    copies: ['snapshot', 'volumes', 'files'],
    copiedAfterThaw: ['volumes'],
  },
  redis: {
    settings: 'REDIS_[A-Z0-9_]+',
    secrets: ['REDIS_PASSWORD', 'REDIS_URL', 'REDIS_TLS_KEY'],
    login: {
      username: 'REDIS_USERNAME',
      password: 'REDIS_PASSWORD',
      others: [],
      url: 'REDIS_URL',
      standsFor: {
        REDIS_URL: 'REDIS_(?:HOST|PORT|SOCKET)',
        REDIS_SOCKET: 'REDIS_(?:URL|HOST|PORT|TLS[A-Z_]*)',
      },
    },
    help: `Redis and Valkey are reached through REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_USERNAME,
REDIS_PASSWORD, REDIS_TLS, ...`,
    restoreHelp:
      'For Redis it compares every file with the receipt, and prints how to start the server.',
    port: 6379,
    portName: 'redis|valkey',
    blocksWrites: true,
    placeField: 'dir',
    // Nothing changes during a hold, so files may also be copied one by one.
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
    help: `MongoDB is reached through MONGODB_URI, optionally with MONGODB_USERNAME, MONGODB_PASSWORD
and MONGODB_AUTH_SOURCE.`,
    restoreHelp: `For MongoDB it makes sure that the copy was made under the lock and has all its
tables, and prints the steps that need a running server: how to start it alone, or as a new set.`,
    port: 27_017,
    portName: 'mongo(?:db|d)?',
    blocksWrites: true,
    keepsMajority: true,
    placeField: 'dataDirectory',
    // Copies of several volumes were not measured.
    copies: ['snapshot', 'files'],
  },
} as const satisfies Readonly<Record<string, EngineEntry>>;

export type EngineName = keyof typeof ENGINES;

/** The values of QUIESCE_ENGINE. */
export const ENGINE_NAMES = Object.keys(ENGINES) as EngineName[];

/** Safe for any untrusted name, including the name of a property that every object has. */
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

/** A regular expression for the settings of all engines, in the form of `settings`. */
export const ANY_SETTING = ENGINE_NAMES.map((name) => entryOf(name).settings).join('|');

const WHOLE = new RegExp(`^(?:${ANY_SETTING})$`);

/**
 * Whether this is a setting of `engine`, or of any engine if none is given. The caller removes a trailing
 * `_FILE` or `_DEFAULT`: libpq's names have no underscore.
 */
export function isEngineSetting(name: string, engine?: EngineName): boolean {
  if (engine === undefined) return WHOLE.test(name);
  return new RegExp(`^(?:${entryOf(engine).settings})$`).test(name);
}

/** The `capabilities` of an engine. */
export function capabilitiesOf(name: EngineName): Pick<EngineEntry, 'blocksWrites' | 'copies'> {
  const { blocksWrites, copies } = entryOf(name);
  return { blocksWrites, copies };
}
