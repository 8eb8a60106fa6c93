import type { Document } from 'mongodb';
import { QuiesceError } from '../../errors.ts';
import type { Probe } from '../engine.ts';
import { type OpTime, readOpTime } from './optime.ts';
import type { Session } from './connection/session.ts';

export type Role = 'standalone' | 'primary' | 'secondary' | 'router' | 'arbiter' | 'other';

/** The answer to `hello`, which needs no privilege and works under a lock. */
export interface Hello {
  readonly role: Role;
  readonly setName: string | undefined;
  /** This member's name in its set: `host:port`. */
  readonly me: string | undefined;
  /** The primary that this member knows; `undefined`: none. */
  readonly primary: string | undefined;
  readonly hidden: boolean;
  readonly configServer: boolean;
  /** Changes at each start of the server process. */
  readonly runId: string;
  readonly opTime: OpTime | undefined;
  readonly majorityOpTime: OpTime | undefined;
}

export interface ServerFacts extends Hello {
  readonly version: string;
  readonly pid: number;
  /** ISO, to the second. */
  readonly startedAt: string;
  readonly storageEngine: string;
  /** The storage engine keeps its data on disk. */
  readonly persistent: boolean;
  /** It belongs to a sharded cluster, as a shard or as a config server. */
  readonly isShard: boolean;
  /**
   * UUID of `admin.system.version`. A data directory gets it at its first start and passes it on to every
   * member of its set, so it distinguishes this data from any other.
   */
  readonly dataId: string | undefined;
}

const OLDEST = [4, 4] as const;
const NEWEST_MAJOR = 8;

export async function readHello(session: Session, signal: AbortSignal): Promise<Hello> {
  const hello = await session.admin({ hello: 1 }, 'ask who the server is', signal);
  const lastWrite = hello['lastWrite'] as Document | undefined;
  return {
    role: roleOf(hello),
    setName: text(hello['setName']),
    me: text(hello['me']),
    primary: text(hello['primary']),
    hidden: hello['hidden'] === true,
    configServer: hello['configsvr'] !== undefined,
    runId: String((hello['topologyVersion'] as Document | undefined)?.['processId'] ?? ''),
    opTime: readOpTime(lastWrite?.['opTime']),
    majorityOpTime: readOpTime(lastWrite?.['majorityOpTime']),
  };
}

function roleOf(hello: Document): Role {
  if (hello['msg'] === 'isdbgrid') return 'router';
  if (hello['arbiterOnly'] === true) return 'arbiter';
  if (hello['setName'] === undefined) {
    return hello['isreplicaset'] === true || hello['isWritablePrimary'] !== true
      ? 'other'
      : 'standalone';
  }
  if (hello['isWritablePrimary'] === true) return 'primary';
  return hello['secondary'] === true ? 'secondary' : 'other';
}

/** @throws QuiesceError ENGINE_VERSION, and what the session throws. */
export async function readServer(session: Session, signal: AbortSignal): Promise<ServerFacts> {
  const { version } = (await session.admin({ buildInfo: 1 }, 'ask for the version', signal)) as {
    version: string;
  };
  checkVersion(version);
  const hello = await readHello(session, signal);
  if (hello.role === 'router' || hello.role === 'arbiter') return { ...hello, ...noFacts(version) };
  const sections = { repl: 0, metrics: 0, wiredTiger: 0, tcmalloc: 0, locks: 0 };
  const status = await session.admin(
    { serverStatus: 1, ...sections },
    'read the server status',
    signal,
  );
  const engine = (status['storageEngine'] ?? {}) as { name?: string; persistent?: boolean };
  const started = (status['localTime'] as Date).getTime() - Number(status['uptimeMillis']);
  return {
    ...hello,
    version,
    pid: Number(status['pid']),
    startedAt: new Date(Math.round(started / 1_000) * 1_000).toISOString(),
    storageEngine: engine.name ?? 'unknown',
    persistent: engine.persistent === true,
    // A config server reports no such section (measured on 6.0.5).
    isShard: hello.configServer || status['sharding'] !== undefined,
    dataId: await readDataId(session, signal),
  };
}

function noFacts(version: string) {
  const none = { pid: 0, startedAt: '', storageEngine: 'none', persistent: false };
  return { ...none, version, isShard: false, dataId: undefined };
}

async function readDataId(session: Session, signal: AbortSignal): Promise<string | undefined> {
  const filter = { name: 'system.version' };
  const found = await session.admin({ listCollections: 1, filter }, 'identify the data', signal);
  const first = (found['cursor'] as { firstBatch: Document[] }).firstBatch[0];
  const uuid = (first?.['info'] as Document | undefined)?.['uuid'] as
    { toString(): string } | undefined;
  return uuid?.toString();
}

function checkVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST;
  const tooOld = major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
  if (!tooOld && major <= NEWEST_MAJOR) return;
  throw new QuiesceError(
    'ENGINE_VERSION',
    `MongoDB ${version} is not supported; supported are ${OLDEST.join('.')} to ${NEWEST_MAJOR}.`,
  );
}

/** Describes the server for the receipt and the status. */
export function toProbe(server: ServerFacts): Probe {
  const { setName, me, dataId, version, role } = server;
  return {
    version,
    role: role === 'secondary' && server.hidden ? 'hidden secondary' : role,
    identity: {
      ...(dataId === undefined ? {} : { dataId }),
      ...(setName === undefined ? {} : { set: setName }),
      ...(me === undefined ? {} : { member: me }),
    },
  };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
