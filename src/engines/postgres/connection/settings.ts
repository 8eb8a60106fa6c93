import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { SettingIssue } from '../../engine.ts';

export const SSL_MODES = [
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
] as const;
export type SslMode = (typeof SSL_MODES)[number];

const TLS_VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

/** How to reach the server, from libpq's environment names. */
export interface PostgresSettings {
  /** Name, address, or absolute folder of the Unix socket. `undefined`: found when connecting. */
  readonly host: string | undefined;
  /** PGHOSTADDR: where to connect. `host` is then only the name to verify. */
  readonly hostaddr: string | undefined;
  readonly port: number;
  readonly user: string;
  readonly password: string | undefined;
  /** Read if `password` is not set. Need not exist. */
  readonly passfile: string;
  readonly database: string;
  readonly applicationName: string;
  /** Limit for one attempt to connect; 0 means no limit. */
  readonly connectTimeoutMs: number;
  readonly ssl: SslSettings;
}

/** The paths need not exist. As in libpq, the mode decides what a missing file means. */
export interface SslSettings {
  readonly mode: SslMode;
  readonly negotiation: 'postgres' | 'direct';
  /** A file, or `system` for the certificate authorities that the machine trusts. */
  readonly rootCert: string;
  /** `undefined`: offer no client certificate. */
  readonly cert: string | undefined;
  readonly key: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * libpq names that are not implemented and would change which server answers or how the connection
 * works, each with the values that change nothing. The names: PostgreSQL 18, section 32.15,
 * "Environment Variables".
 */
const UNSUPPORTED: Readonly<Record<string, readonly string[]>> = {
  PGSERVICE: [],
  PGSERVICEFILE: [],
  PGOPTIONS: [],
  PGREQUIREAUTH: [],
  PGREQUIREPEER: [],
  PGREQUIRESSL: ['0'],
  PGSSLPASSWORD: [],
  PGSSLCRL: [],
  PGSSLCRLDIR: [],
  PGSSLSNI: ['1'],
  PGSSLCERTMODE: ['allow', 'disable'],
  PGCHANNELBINDING: ['prefer', 'disable'],
  PGGSSENCMODE: ['prefer', 'disable'],
  PGTARGETSESSIONATTRS: ['any'],
  PGLOADBALANCEHOSTS: ['disable'],
  PGMINPROTOCOLVERSION: ['3.0'],
};

/** quiesce's own default; libpq waits without limit. */
const CONNECT_TIMEOUT_S = 10;

/**
 * Reads libpq's environment names. Every invalid or unsupported one becomes an issue; none is
 * silently ignored.
 */
export function parseSettings(env: Environment): {
  settings: PostgresSettings;
  issues: SettingIssue[];
} {
  const reader = new Reader(env);
  for (const [name, harmless] of Object.entries(UNSUPPORTED)) {
    const value = reader.text(name);
    if (value !== undefined && !harmless.includes(value)) {
      const allowed =
        harmless.length > 0 ? ` with a value other than ${harmless.join(' or ')}` : '';
      reader.issue(name, `is not supported by quiesce${allowed}: unset it`);
    }
  }
  const host = readHost(reader);
  const hostaddr = readAddress(reader);
  const user = reader.plain('PGUSER') ?? systemUser(reader);
  const home = homedir();
  const settings = {
    host,
    hostaddr,
    port: reader.integer('PGPORT', 5432, 1, 65_535),
    user,
    password: reader.text('PGPASSWORD'),
    passfile: reader.text('PGPASSFILE') ?? join(home, '.pgpass'),
    database: reader.plain('PGDATABASE') ?? user,
    applicationName: reader.text('PGAPPNAME') ?? 'quiesce',
    connectTimeoutMs:
      1000 * Math.max(0, reader.integer('PGCONNECT_TIMEOUT', CONNECT_TIMEOUT_S, -1, 86_400)),
    ssl: readSsl(reader, join(home, '.postgresql')),
  };
  return { settings, issues: reader.issues };
}

function readHost(reader: Reader): string | undefined {
  const host = reader.plain('PGHOST');
  if (host?.startsWith('@')) {
    reader.issue(
      'PGHOST',
      'is an abstract Unix socket, which is not supported: give the folder of the socket',
    );
  } else if (host?.includes(',')) {
    reader.issue(
      'PGHOST',
      'lists several hosts, which is not supported: give the one server that runs next to the sidecar',
    );
  } else if (host !== undefined && !host.startsWith('/') && /[\s/@]/.test(host)) {
    reader.issue(
      'PGHOST',
      'must be a host name, an address, or the absolute folder of a Unix socket',
    );
  }
  return host;
}

function readAddress(reader: Reader): string | undefined {
  const address = reader.text('PGHOSTADDR');
  if (address !== undefined && !/^[0-9A-Fa-f.:]+(%\w+)?$/.test(address)) {
    reader.issue('PGHOSTADDR', 'must be one numeric IP address');
  }
  return address;
}

function systemUser(reader: Reader): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run as a uid that is not in /etc/passwd.
    reader.issue('PGUSER', 'must be set: the current user id has no name to use as the default');
    return '';
  }
}

function readSsl(reader: Reader, folder: string): SslSettings {
  const rootCert = reader.text('PGSSLROOTCERT') ?? join(folder, 'root.crt');
  const system = rootCert === 'system';
  const mode = reader.oneOf('PGSSLMODE', SSL_MODES, system ? 'verify-full' : 'prefer');
  if (system && mode !== 'verify-full') {
    reader.issue('PGSSLMODE', 'must be verify-full (or unset) where PGSSLROOTCERT is system');
  }
  const negotiation = reader.oneOf('PGSSLNEGOTIATION', ['postgres', 'direct'] as const, 'postgres');
  if (negotiation === 'direct' && ['disable', 'allow', 'prefer'].includes(mode)) {
    reader.issue('PGSSLNEGOTIATION', 'direct needs PGSSLMODE require, verify-ca or verify-full');
  }
  const minVersion = reader.oneOf('PGSSLMINPROTOCOLVERSION', TLS_VERSIONS, 'TLSv1.2');
  const maxVersion = reader.oneOf('PGSSLMAXPROTOCOLVERSION', TLS_VERSIONS, 'TLSv1.3');
  if (TLS_VERSIONS.indexOf(minVersion) > TLS_VERSIONS.indexOf(maxVersion)) {
    reader.issue('PGSSLMAXPROTOCOLVERSION', 'is below PGSSLMINPROTOCOLVERSION');
  }
  const offered = reader.text('PGSSLCERTMODE') !== 'disable';
  return {
    mode,
    negotiation,
    rootCert,
    cert: offered ? (reader.text('PGSSLCERT') ?? join(folder, 'postgresql.crt')) : undefined,
    key: reader.text('PGSSLKEY') ?? join(folder, 'postgresql.key'),
    minVersion,
    maxVersion,
  };
}

/** Reads names one by one and collects the issues. As in libpq, an empty value counts as unset. */
class Reader {
  readonly issues: SettingIssue[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  issue(name: string, message: string): void {
    this.issues.push({ name, message });
  }

  text(name: string): string | undefined {
    const value = this.#env[name];
    if (value?.includes('\0')) this.issue(name, 'contains a NUL character');
    return value === '' ? undefined : value;
  }

  /**
   * A value that error messages repeat. Refuses what may be a connection string with a password.
   */
  plain(name: string): string | undefined {
    const value = this.text(name);
    if (value === undefined || !/:\/\/|password\s*=/i.test(value)) return value;
    this.issue(
      name,
      'looks like a connection string: set PGHOST, PGPORT, PGUSER, PGDATABASE one by one',
    );
    return undefined;
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const value = this.text(name)?.trim();
    if (value === undefined) return fallback;
    const number = Number(value);
    if (/^-?\d+$/.test(value) && number >= min && number <= max) return number;
    this.issue(name, `must be a whole number from ${min} to ${max}`);
    return fallback;
  }

  oneOf<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const found = allowed.find((entry) => entry.toLowerCase() === value.toLowerCase());
    if (found === undefined) this.issue(name, `must be one of ${allowed.join(', ')}`);
    return found ?? fallback;
  }
}
