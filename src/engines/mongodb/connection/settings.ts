import { MongoClient, type MongoClientOptions } from 'mongodb';
import type { SettingIssue } from '../../engine.ts';

/** How to reach the server in the same pod, from the `MONGODB_…` settings. */
export interface MongoSettings {
  /** Includes credentials: never log it or put it into an error. */
  readonly uri: string;
  /** `host:port`, or the path of a Unix socket, for messages. */
  readonly target: string;
  /** Options that override those in the string, and fixed ones. */
  readonly options: MongoClientOptions;
  /** Everything that must never leave this process. */
  readonly secrets: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_URI = 'mongodb://127.0.0.1:27017/';
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Fixed options. A direct connection never follows an election to another member. The driver never
 * retries a command, because a lock that is sent twice is held twice.
 */
const FIXED = {
  appName: 'quiesce',
  directConnection: true,
  retryReads: false,
  retryWrites: false,
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  // Shorter than all our deadlines, so that the cause of a failure is known before one passes.
  serverSelectionTimeoutMS: 3_000,
  heartbeatFrequencyMS: 2_000,
  // One waits for the lock and one for the release; the others can still read the server's state.
  minPoolSize: 3,
  maxPoolSize: 6,
  monitorCommands: false,
} as const satisfies MongoClientOptions;

/** Reads the `MONGODB_…` settings. Reports every invalid one; ignores none silently. */
export function parseSettings(env: Environment): {
  settings: MongoSettings;
  issues: SettingIssue[];
} {
  const issues: SettingIssue[] = [];
  const uri = text(env['MONGODB_URI']) ?? DEFAULT_URI;
  const auth = readAuth(env, issues);
  const options: MongoClientOptions = { ...FIXED, ...auth };
  const unreadable = problemOf(uri);
  if (unreadable !== undefined) {
    issues.push({ name: 'MONGODB_URI', message: unreadable });
    return { settings: { uri: DEFAULT_URI, target: '', options: FIXED, secrets: [] }, issues };
  }
  try {
    // The constructor parses the string and all its options, and does not connect.
    const { hosts, credentials } = new MongoClient(uri, options).options;
    const target = hosts.map((host) => host.toString()).join(',');
    const secrets = [
      uri,
      credentials?.password,
      rawPassword(uri),
      encodeURIComponent(credentials?.password ?? ''),
    ];
    const known = secrets.filter(
      (one) => one !== undefined && one.length > 0 && one !== DEFAULT_URI,
    );
    return { settings: { uri, target, options, secrets: known as string[] }, issues };
  } catch (error) {
    issues.push({ name: 'MONGODB_URI', message: explain(error) });
    return { settings: { uri: DEFAULT_URI, target: '', options: FIXED, secrets: [] }, issues };
  }
}

/** The password exactly as written in the string, percent-encoded or not. */
function rawPassword(uri: string): string | undefined {
  return /^mongodb:\/\/[^:@/]*:([^@/]+)@/.exec(uri)?.[1];
}

function text(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}

function readAuth(env: Environment, issues: SettingIssue[]): MongoClientOptions {
  const username = text(env['MONGODB_USERNAME']);
  const password = text(env['MONGODB_PASSWORD']);
  const authSource = text(env['MONGODB_AUTH_SOURCE']);
  if (username === undefined) {
    for (const [name, value] of Object.entries({
      MONGODB_PASSWORD: password,
      MONGODB_AUTH_SOURCE: authSource,
    })) {
      if (value !== undefined) issues.push({ name, message: 'needs MONGODB_USERNAME as well' });
    }
    return {};
  }
  if (password === undefined) {
    const message =
      'is missing: MONGODB_USERNAME needs it; put a user without a password into MONGODB_URI';
    issues.push({ name: 'MONGODB_PASSWORD', message });
    return {};
  }
  return {
    auth: { username, password },
    ...(authSource === undefined ? {} : { authSource }),
  };
}

/** Explains why this engine cannot use a string that the driver might accept. */
function problemOf(uri: string): string | undefined {
  if (uri.startsWith('mongodb+srv://')) {
    return 'must not be a mongodb+srv string, which names a whole set: name the server in the same pod, such as mongodb://127.0.0.1:27017/';
  }
  if (!uri.startsWith('mongodb://')) return 'must begin with mongodb://';
  const hosts = /^mongodb:\/\/(?:[^/]*@)?([^/?]*)/.exec(uri)?.[1] ?? '';
  if (hosts.includes(',')) {
    return 'names several servers: name only the server in the same pod, where the lock is taken';
  }
  if (/[?&]directConnection=false/i.test(uri)) {
    return 'must not set directConnection=false: the lock is taken on the server in the same pod';
  }
  if (/[?&]loadBalanced=true/i.test(uri)) return 'must not set loadBalanced=true';
  return undefined;
}

/** Keeps only the option's name of the driver's message, which may repeat the string and its password. */
function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  const option = /option[s]? "?([A-Za-z]{3,40})"?/.exec(message)?.[1];
  const about = option === undefined || option === 'is' ? '' : ` (option ${option})`;
  return `is not a connection string that the driver accepts${about}; percent-encode special characters in user and password`;
}
