import type { SettingIssue } from '../../engine.ts';

/** How to reach the server in the same pod, from the `REDIS_…` settings. */
export interface RedisSettings {
  readonly host: string;
  readonly port: number;
  /** REDIS_SOCKET: a Unix socket instead of host and port. */
  readonly socket: string | undefined;
  /** `undefined`: log in as `default`, with the password only. */
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly connectTimeoutMs: number;
  /** `undefined`: without TLS. */
  readonly tls: RedisTls | undefined;
  /** Command in lower case → the name that `rename-command` gave it. */
  readonly renamed: ReadonlyMap<string, string>;
  /** How many keys each freeze samples; 0: none. */
  readonly sampleKeys: number;
}

export interface RedisTls {
  /** PEM text or the path of a file; `undefined`: the roots that Node trusts. */
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The name to verify if it differs from the host. */
  readonly serverName: string | undefined;
  readonly verify: 'full' | 'ca' | 'none';
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_PORT = 6379;
const CONNECT_TIMEOUT_MS = 10_000;
const MOST_SAMPLES = 1_000;
const VERIFY = ['full', 'ca', 'none'] as const;
const RENAMABLE = ['auth', 'info', 'config', 'client', 'bgsave', 'pubsub', 'acl', 'module'];

/** Reads the `REDIS_…` settings. Reports every invalid one; ignores none silently. */
export function parseSettings(env: Environment): {
  settings: RedisSettings;
  issues: SettingIssue[];
} {
  const issues: SettingIssue[] = [];
  const issue = (name: string, message: string): void => void issues.push({ name, message });
  const text = (name: string): string | undefined => {
    const value = env[name];
    return value === '' || value === undefined ? undefined : value;
  };
  const url = readUrl(text('REDIS_URL'), issue);
  const port = readPort(text('REDIS_PORT'), issue);
  for (const [name, given] of Object.entries({
    REDIS_HOST: text('REDIS_HOST') !== undefined,
    REDIS_PORT: port !== undefined,
    REDIS_SOCKET: text('REDIS_SOCKET') !== undefined,
    REDIS_USERNAME: text('REDIS_USERNAME') !== undefined && url?.username !== undefined,
    REDIS_PASSWORD: text('REDIS_PASSWORD') !== undefined && url?.password !== undefined,
  })) {
    if (url && given)
      issue(name, 'is set together with REDIS_URL, which includes it; set only one of them');
  }
  const socket = text('REDIS_SOCKET');
  if (socket !== undefined && !socket.startsWith('/'))
    issue('REDIS_SOCKET', 'must be an absolute path');
  if (socket !== undefined && text('REDIS_HOST') !== undefined) {
    issue('REDIS_SOCKET', 'is set together with REDIS_HOST; set only one of them');
  }
  if (socket !== undefined && port !== undefined)
    issue('REDIS_PORT', 'is set together with REDIS_SOCKET; set only one of them');
  const host = url?.host ?? text('REDIS_HOST') ?? '127.0.0.1';
  if (/[\s/@,[\]]/.test(host))
    issue('REDIS_HOST', 'must be one host name or address; write an IPv6 address without brackets');
  const username = url?.username ?? text('REDIS_USERNAME');
  const password = url?.password ?? text('REDIS_PASSWORD');
  if (username !== undefined && password === undefined) {
    issue('REDIS_PASSWORD', 'is missing: REDIS_USERNAME needs it');
  }
  const settings = {
    host,
    port: url?.port ?? port ?? DEFAULT_PORT,
    socket,
    username,
    password,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    tls: readTls(text, url?.tls, issue),
    renamed: readRenamed(text('REDIS_RENAMED_COMMANDS'), issue),
    sampleKeys: readNumber(text('REDIS_SAMPLE_KEYS'), 'REDIS_SAMPLE_KEYS', MOST_SAMPLES, issue),
  };
  return { settings, issues };
}

type Issue = (name: string, message: string) => void;

interface UrlParts {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: boolean;
}

function readUrl(value: string | undefined, issue: Issue): UrlParts | undefined {
  if (value === undefined) return undefined;
  try {
    const url = new URL(value);
    if (
      !['redis:', 'rediss:', 'valkey:', 'valkeys:'].includes(url.protocol) ||
      url.hostname === '' ||
      url.port === '0'
    ) {
      throw new Error('not a Redis URL');
    }
    if (url.search !== '' || url.hash !== '')
      issue('REDIS_URL', 'must not have options after the path');
    if (!/^\/?\d*$/.test(url.pathname))
      issue('REDIS_URL', 'has a path that is not a database number');
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? DEFAULT_PORT : Number(url.port),
      username: url.username === '' ? undefined : decodeURIComponent(url.username),
      password: url.password === '' ? undefined : decodeURIComponent(url.password),
      tls: ['rediss:', 'valkeys:'].includes(url.protocol),
    };
  } catch {
    issue(
      'REDIS_URL',
      'must look like redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS; for a Unix socket set REDIS_SOCKET',
    );
    return undefined;
  }
}

/** Ignores REDIS_PORT=tcp://…, which Kubernetes sets in every pod where a Service is called redis. */
function readPort(value: string | undefined, issue: Issue): number | undefined {
  if (value === undefined || /^(?:tcp|udp):\/\//.test(value)) return undefined;
  const port = Number(value);
  if (/^\d{1,5}$/.test(value) && port >= 1 && port <= 65_535) return port;
  issue('REDIS_PORT', 'must be a whole number from 1 to 65535');
  return undefined;
}

function readNumber(value: string | undefined, name: string, max: number, issue: Issue): number {
  if (value === undefined) return 0;
  const number = Number(value);
  if (/^\d+$/.test(value) && number <= max) return number;
  issue(name, `must be a whole number from 0 to ${max}`);
  return 0;
}

function readTls(
  text: (name: string) => string | undefined,
  byUrl: boolean | undefined,
  issue: Issue,
): RedisTls | undefined {
  const asked = text('REDIS_TLS');
  if (asked !== undefined && !['true', 'false'].includes(asked)) {
    issue('REDIS_TLS', 'must be true or false');
  }
  if (asked === 'false' && byUrl === true)
    issue('REDIS_TLS', 'is false, but REDIS_URL begins with rediss://');
  const on = asked === 'true' || byUrl === true;
  const options = ['CA', 'CERT', 'KEY', 'SERVERNAME', 'VERIFY'].map((part) => `REDIS_TLS_${part}`);
  for (const name of options) {
    if (!on && text(name) !== undefined) issue(name, 'is set, but TLS is off: set REDIS_TLS=true');
  }
  const verify = VERIFY.find((one) => one === (text('REDIS_TLS_VERIFY') ?? 'full'));
  if (verify === undefined) issue('REDIS_TLS_VERIFY', `must be one of ${VERIFY.join(', ')}`);
  const [cert, key] = [text('REDIS_TLS_CERT'), text('REDIS_TLS_KEY')];
  if ((cert === undefined) !== (key === undefined)) {
    issue(
      cert === undefined ? 'REDIS_TLS_CERT' : 'REDIS_TLS_KEY',
      'is missing: certificate and key go together',
    );
  }
  if (!on) return undefined;
  const [ca, serverName] = [text('REDIS_TLS_CA'), text('REDIS_TLS_SERVERNAME')];
  return { ca, cert, key, serverName, verify: verify ?? 'full' };
}

/** `CONFIG=abc,CLIENT=def`: the names that the server's `rename-command` gave to commands. */
function readRenamed(value: string | undefined, issue: Issue): ReadonlyMap<string, string> {
  const renamed = new Map<string, string>();
  for (const pair of value?.split(',') ?? []) {
    const [, command = '', name = ''] = /^\s*(\w+)=([^\s,=]+)\s*$/.exec(pair) ?? [];
    if (RENAMABLE.includes(command.toLowerCase())) renamed.set(command.toLowerCase(), name);
    else
      issue(
        'REDIS_RENAMED_COMMANDS',
        `must be COMMAND=NAME, separated by commas; COMMAND is one of ${RENAMABLE.join(', ')}`,
      );
  }
  return renamed;
}
