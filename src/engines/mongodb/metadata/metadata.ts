import type { Document } from 'mongodb';
import { QuiesceError } from '../../../errors.ts';
import type { Json, JsonObject } from '../../engine.ts';
import { listDatabases } from '../freeze/document-counts.ts';
import { readSet, type SetView } from '../freeze/replica-set.ts';
import { formatOpTime, readOpTime } from '../optime.ts';
import { readServer, type ServerFacts } from '../server.ts';
import type { Session } from '../connection/session.ts';
import type { Parts } from '../../shared/parts.ts';

const REDACTED = '(redacted)';
const SECRET_NAME = /password|passwd|passphrase|secret|token|credential|querypassword|apikey/i;

/**
 * What an operator needs in addition to the data. Role names but no credentials; see `redact`. Users or
 * roles that the server does not let us list are `null`; `notAllowed` lists the missing right, and `notes`
 * explain it.
 */
export async function readMetadata(
  session: Session,
  signal: AbortSignal,
  parts?: Parts,
): Promise<JsonObject> {
  // For a copy a part that cannot be read is left out; a person who asks gets the error.
  const read = <T>(part: string, work: () => Promise<T>): Promise<T | null> =>
    parts === undefined ? work() : parts.read(part, work);
  const server = await readServer(session, signal);
  if (server.role === 'router' || server.role === 'arbiter') {
    return { version: server.version, role: server.role };
  }
  const { setName } = server;
  const view =
    setName === undefined ? null : await read('replication', () => readSet(session, signal));
  const places = (await read('users and roles', () => withUsers(session, signal))) ?? [];
  const users = (await read('users', () => list(session, places, USERS, signal))) ?? NONE;
  const roles = (await read('roles', () => list(session, places, ROLES, signal))) ?? NONE;
  return {
    version: server.version,
    role: server.role,
    architecture: await read('architecture', () => readArchitecture(session, signal)),
    dataId: server.dataId ?? null,
    featureCompatibilityVersion: await read('featureCompatibilityVersion', () =>
      readFcv(session, signal),
    ),
    storageEngine: server.storageEngine,
    startedAt: server.startedAt,
    shard: server.isShard,
    databases: await read('databases', () => readDatabases(session, signal)),
    users: users.found,
    roles: roles.found,
    parameters: await read('parameters', () => readParameters(session, signal)),
    replication: view === null ? null : replication(server, view),
    oplog: view === null ? null : await read('oplog', () => readOplog(session, signal)),
    notAllowed: [...users.notAllowed, ...roles.notAllowed],
    notes: [...users.notes, ...roles.notes],
  };
}

async function readFcv(session: Session, signal: AbortSignal): Promise<Json> {
  const command = { getParameter: 1, featureCompatibilityVersion: 1 };
  const answer = await session.admin(command, 'read the compatibility version', signal);
  const found = answer['featureCompatibilityVersion'] as Document | undefined;
  return String(found?.['version'] ?? 'unknown');
}

async function readArchitecture(session: Session, signal: AbortSignal): Promise<Json> {
  const answer = await session.admin({ buildInfo: 1 }, 'ask for the architecture', signal);
  const environment = (answer['buildEnvironment'] ?? {}) as Document;
  const found: unknown = environment['target_arch'];
  return typeof found === 'string' ? found : null;
}

async function readDatabases(session: Session, signal: AbortSignal): Promise<Json> {
  const answer = await session.admin({ listDatabases: 1 }, 'list the databases', signal);
  return (answer['databases'] as Document[]).map((one) => ({
    name: String(one['name']),
    sizeOnDisk: Number(one['sizeOnDisk'] ?? 0),
  }));
}

/** Something that is listed per database: listing all at once needs a right on the whole cluster. */
interface Listing {
  readonly what: 'users' | 'roles';
  readonly command: Document;
  /** The privilege action that allows it. */
  readonly right: string;
  readonly grantedBy: string;
  readonly show: (found: Document) => Json;
}

const USERS: Listing = {
  what: 'users',
  command: { usersInfo: 1 },
  right: 'viewUser',
  grantedBy: 'roles/mongodb-users.json, which shows their SCRAM verifiers too',
  show: ({ user, db, roles, mechanisms }) => ({
    user: String(user),
    db: String(db),
    roles: roleNames(roles),
    mechanisms: ((mechanisms ?? []) as unknown[]).map(String),
  }),
};

const ROLES: Listing = {
  what: 'roles',
  command: { rolesInfo: 1 },
  right: 'viewRole',
  grantedBy: 'roles/mongodb.json',
  show: ({ role, db, roles }) => ({ role: String(role), db: String(db), roles: roleNames(roles) }),
};

interface Listed {
  /** `null`: we were not allowed to ask in any database. */
  readonly found: Json[] | null;
  readonly notAllowed: readonly string[];
  readonly notes: readonly string[];
}

const NONE: Listed = { found: null, notAllowed: [], notes: [] };

async function list(
  session: Session,
  places: readonly string[],
  { what, command, right, grantedBy, show }: Listing,
  signal: AbortSignal,
): Promise<Listed> {
  const found: Json[] = [];
  const refused: string[] = [];
  for (const place of places) {
    try {
      const answer = await session.command(place, command, `list the ${what}`, signal);
      found.push(...(answer[what] as Document[]).map(show));
    } catch (error) {
      if (!(error instanceof QuiesceError) || error.code !== 'ENGINE_PRIVILEGE') throw error;
      refused.push(place);
    }
  }
  if (refused.length === 0) return { found, notAllowed: [], notes: [] };
  const nowhere = refused.length === places.length;
  const of = nowhere ? '' : ` of ${refused.join(', ')}`;
  const note = `The ${what}${of} are not listed: that needs the right ${right}, which quiesce does not require. To grant it, use ${grantedBy}.`;
  return { found: nowhere ? null : found, notAllowed: [right], notes: [note] };
}

/** Adds `$external`, which holds users of certificates and directories and is never listed as a database. */
async function withUsers(session: Session, signal: AbortSignal): Promise<string[]> {
  const databases = await listDatabases(session, signal);
  return [...databases.filter((name) => name !== 'config'), '$external'];
}

function roleNames(roles: unknown): Json {
  return ((roles ?? []) as Document[]).map((one) => `${String(one['role'])}@${String(one['db'])}`);
}

/** The settings from the command line and the configuration file; all others have their defaults. */
async function readParameters(session: Session, signal: AbortSignal): Promise<Json> {
  const answer = await session.admin({ getCmdLineOpts: 1 }, 'read the configuration', signal);
  return redact(answer['parsed'] ?? {});
}

/** Plain JSON, in which the value of every key that is named like a secret is replaced. */
export function redact(value: unknown, name = ''): Json {
  if (SECRET_NAME.test(name)) return REDACTED;
  if (Array.isArray(value)) return value.map((one) => redact(one, name));
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return value;
  if (typeof value === 'object') {
    // Numbers and ids of BSON have their own JSON form.
    if (value.constructor !== Object) return JSON.stringify(value);
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, redact(one, key)]));
  }
  return typeof value === 'string' ? value : null;
}

function replication(server: ServerFacts, view: SetView): Json {
  const newest = Math.max(...view.members.map(({ opTime }) => opTime?.seconds ?? 0));
  return {
    set: view.name,
    replicaSetId: view.replicaSetId,
    term: view.term,
    primary: server.primary ?? null,
    member: server.me ?? null,
    members: view.members.map((one) => ({
      host: one.host,
      state: one.state,
      healthy: one.healthy,
      votes: one.votes,
      hidden: one.hidden,
      delaySeconds: one.delaySeconds,
      opTime: one.opTime === undefined ? null : formatOpTime(one.opTime),
      lagSeconds: one.opTime === undefined ? null : newest - one.opTime.seconds,
    })),
  };
}

/** How far back the oplog reaches: an older copy cannot rejoin the set. */
async function readOplog(session: Session, signal: AbortSignal): Promise<Json> {
  const status = await session.admin(
    { serverStatus: 1, oplog: 1 },
    'read the oplog window',
    signal,
  );
  const { earliestOptime, latestOptime } = (status['oplog'] ?? {}) as Document;
  const first = at(earliestOptime);
  const last = at(latestOptime);
  if (first === undefined || last === undefined) return null;
  return { firstSeconds: first, lastSeconds: last, windowSeconds: last - first };
}

function at(value: unknown): number | undefined {
  return readOpTime({ ts: value, t: -1 })?.seconds ?? readOpTime(value)?.seconds;
}
