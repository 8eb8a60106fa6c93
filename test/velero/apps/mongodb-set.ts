import { readFileSync } from 'node:fs';
import { type Document, MongoClient } from 'mongodb';
import { packageFile } from '../../../src/testbed/package-file.ts';
import type { Forwarded } from './app.ts';
import { until } from '../wait.ts';

/** The name of the set, as the manifest's command has it. */
export const SET = 'rs';
const ALREADY_INITIALIZED = 23;
const ELECTION_WITHIN_MS = 120_000;

export interface Login {
  readonly username: string;
  readonly password: string;
}

export interface SetAccess {
  /** The pods, each with its name in the set. */
  readonly members: ReadonlyMap<string, string>;
  /** To the loopback of a pod. */
  readonly forward: (pod: string) => Promise<Forwarded>;
  readonly root: Login;
}

export interface NewSet extends SetAccess {
  readonly sidecar: Login;
  readonly app: Login & { readonly database: string };
}

/**
 * Makes the members a set and creates its users, as a person does. The first user can be created without
 * a login, but only by a client on the member's own loopback.
 */
export async function createSet(set: NewSet): Promise<void> {
  const { members, root } = set;
  const [first = ''] = members.keys();
  await onMember(set, first, undefined, async (client) => {
    const admin = client.db('admin');
    const config = { _id: SET, members: configured(members) };
    await admin.command({ replSetInitiate: config }).catch((error: { code?: number }) => {
      if (error.code !== ALREADY_INITIALIZED) throw error;
    });
    await until(`${first} is primary`, ELECTION_WITHIN_MS, () => isPrimary(client));
    await admin.command({ createUser: root.username, pwd: root.password, roles: ['root'] });
  });
  await onMember(set, first, root, (client) => createUsers(client, set));
}

async function createUsers(client: MongoClient, { members, sidecar, app }: NewSet): Promise<void> {
  const admin = client.db('admin');
  const role = JSON.parse(readFileSync(packageFile('roles/mongodb.json'), 'utf8')) as Document;
  await admin.command(role);
  const { username, password } = sidecar;
  await admin.command({ createUser: username, pwd: password, roles: ['quiesce'] });
  await admin.command({
    createUser: app.username,
    pwd: app.password,
    roles: [{ role: 'readWrite', db: app.database }],
    // A sidecar logs in to its own member, so each of them must know the users.
    writeConcern: { w: members.size, wtimeout: ELECTION_WITHIN_MS },
  });
}

/**
 * After a restore: waits until the members are a set again. If its configuration has other names, as
 * after a restore into another namespace, no member finds itself in it. Then the member that has the
 * newest write gets the new names, by force, and the others take them from it.
 */
export async function rejoinSet(set: SetAccess): Promise<void> {
  const { members, root } = set;
  const pods = [...members.keys()];
  const ends: { pod: string; last: bigint }[] = [];
  for (const pod of pods) {
    // A member with an empty volume knows no users until it has copied the others' data.
    const last = await until(`${pod} lets the administrator in`, ELECTION_WITHIN_MS, () =>
      onMember(set, pod, root, (client) => lastWrite(client)),
    );
    ends.push({ pod, last });
  }
  const newest = ends.reduce((best, one) => (one.last > best.last ? one : best));
  await onMember(set, newest.pod, root, async (client) => {
    const admin = client.db('admin');
    const { config } = (await admin.command({ replSetGetConfig: 1 })) as { config: Document };
    if (!sameNames(config, members)) {
      const version = Number(config['version']) + 1;
      const renamed = { ...config, version, members: configured(members, config) };
      await admin.command({ replSetReconfig: renamed, force: true });
    }
    await until('every member is primary or secondary', ELECTION_WITHIN_MS, () => settled(client));
  });
}

/** The members' part of a configuration, with the settings that an earlier one has. */
function configured(members: ReadonlyMap<string, string>, earlier?: Document): Document[] {
  const had = (earlier?.['members'] ?? []) as Document[];
  return [...members.values()].map((host, index) => ({ ...had[index], _id: index, host }));
}

function sameNames(config: Document, members: ReadonlyMap<string, string>): boolean {
  const names = (config['members'] as Document[]).map(({ host }) => String(host));
  return names.toSorted().join() === [...members.values()].toSorted().join();
}

async function isPrimary(client: MongoClient): Promise<boolean> {
  return (await client.db('admin').command({ hello: 1 }))['isWritablePrimary'] === true;
}

/** The time of the last operation in the member's own oplog; a member outside of its set can be asked, too. */
async function lastWrite(client: MongoClient): Promise<bigint> {
  const oplog = client.db('local').collection('oplog.rs');
  const [last] = await oplog.find().sort({ $natural: -1 }).limit(1).toArray();
  const ts = last?.['ts'] as { toBigInt(): bigint } | undefined;
  return ts?.toBigInt() ?? 0n;
}

async function settled(client: MongoClient): Promise<boolean> {
  const status = await client.db('admin').command({ replSetGetStatus: 1 });
  const states = (status['members'] as Document[]).map(({ stateStr }) => String(stateStr));
  return states.includes('PRIMARY') && states.every((one) => /^(PRIMARY|SECONDARY)$/.test(one));
}

async function onMember<T>(
  { forward }: SetAccess,
  pod: string,
  login: Login | undefined,
  use: (client: MongoClient) => Promise<T>,
): Promise<T> {
  const forwarded = await forward(pod);
  const client = new MongoClient(`mongodb://127.0.0.1:${forwarded.port}/`, {
    directConnection: true,
    readPreference: 'nearest',
    ...(login && { auth: login, authSource: 'admin' }),
  });
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.close();
    await forwarded.close();
  }
}
