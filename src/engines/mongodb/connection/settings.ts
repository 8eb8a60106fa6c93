import { MongoClient, type MongoClientOptions } from 'mongodb';
import type { SettingIssue } from '../../engine.ts';

/** How to reach the one server beside the sidecar, from the `MONGODB_…` names. */
export interface MongoSettings {
  /** With credentials: never to be logged or put into an error. */
  readonly uri: string;
  /** `host:port` or the path of a Unix socket, for messages. */
  readonly target: string;
  /** What overrides the string, and what is always so. */
  readonly options: MongoClientOptions;
  /** Everything that must never leave this process. */
  readonly secrets: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_URI = 'mongodb://127.0.0.1:27017/';
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Always so. A direct connection never follows an election to another member, and what failed is
 * never sent twice by the driver itself: a lock that is sent twice is held twice.
 */
const FIXED = {
  appName: 'quiesce',
  directConnection: true,
  retryReads: false,
  retryWrites: false,
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  // Below every deadline of our own, so that what is wrong is known before the time is up.
  serverSelectionTimeoutMS: 3_000,
  heartbeatFrequencyMS: 2_000,
  // One waits for the lock, one for the release, and the others still can ask how the server is.
  minPoolSize: 3,
  maxPoolSize: 6,
  monitorCommands: false,
} as const satisfies MongoClientOptions;

/** Reads the `MONGODB_…` names; every bad one is named, none is ignored silently. */
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
    // The constructor reads the string and every option in it, and connects to nobody.
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

/** What stands in the string as it is, percent-encoded or not. */
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
      if (value !== undefined) issues.push({ name, message: 'needs MONGODB_USERNAME beside it' });
    }
    return {};
  }
  if (password === undefined) {
    const message =
      'is missing beside MONGODB_USERNAME; a user without one is named in MONGODB_URI';
    issues.push({ name: 'MONGODB_PASSWORD', message });
    return {};
  }
  return {
    auth: { username, password },
    ...(authSource === undefined ? {} : { authSource }),
  };
}

/** What the driver would take and this engine cannot use. */
function problemOf(uri: string): string | undefined {
  if (uri.startsWith('mongodb+srv://')) {
    return 'must not be a mongodb+srv string, which names a whole set: name the one server beside the sidecar, such as mongodb://127.0.0.1:27017/';
  }
  if (!uri.startsWith('mongodb://')) return 'must begin with mongodb://';
  const hosts = /^mongodb:\/\/(?:[^/]*@)?([^/?]*)/.exec(uri)?.[1] ?? '';
  if (hosts.includes(',')) {
    return 'names several servers: name the one beside the sidecar, for the lock is taken there';
  }
  if (/[?&]directConnection=false/i.test(uri)) {
    return 'must not say directConnection=false: the lock is taken on the server beside the sidecar';
  }
  if (/[?&]loadBalanced=true/i.test(uri)) return 'must not say loadBalanced=true';
  return undefined;
}

/** The driver's own words name the option, and sometimes repeat the string: only the name is kept. */
function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  const option = /option[s]? "?([A-Za-z]{3,40})"?/.exec(message)?.[1];
  const about = option === undefined || option === 'is' ? '' : ` (option ${option})`;
  return `is not a connection string that the driver accepts${about}; special characters in user and password must be percent-encoded`;
}
