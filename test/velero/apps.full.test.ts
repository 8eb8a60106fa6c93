import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../src/testbed/postgres/server.ts';
import { KEY, Mongod } from '../support/mongod.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { type Access, mongodb, readLedger } from './apps/index.ts';

const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

describe('a set of MongoDB', () => {
  it('that comes back under other names is a set again, and lacks nothing', async () => {
    const dir = await makeTempDir();
    undo.push(() => rm(dir, { recursive: true, force: true }));
    const keyFile = join(dir, 'key');
    await writeFile(keyFile, KEY, { mode: 0o600 });
    const app = mongodb();
    const members = new Map(
      app.pods.map((pod) => [pod, new Mongod({ dbPath: join(dir, pod), set: 'rs', keyFile })]),
    );
    const all = [...members.values()];
    undo.push(() => Promise.all(all.map((server) => server.stop())));
    await Promise.all(all.map((server) => server.start()));
    const address = (pod: string): string => `127.0.0.1:${members.get(pod)?.port}`;
    const access: Access = {
      namespace: 'here',
      reach: async (pod) => address(pod),
      forward: async (pod) => ({
        port: members.get(pod)?.port ?? 0,
        close: async () => undefined,
      }),
      memberName: address,
    };
    await app.initialise(access);
    const path = join(dir, 'ledger');
    const load = await app.startLoad(access, path, { clients: 3 });
    await load.progress(200);
    const hold = { freezeCalledAt: new Date() };
    await Promise.all(all.map((server) => server.signal('SIGKILL')));
    await load.stop();
    const ledger = await readLedger(path);

    // The same names: as after a restore into a namespace of the same name.
    await Promise.all(all.map((server) => server.start()));
    await app.afterRestore(access);
    expect(await app.compare(access, ledger, hold)).toMatchObject({ ok: true, problems: [] });

    await Promise.all(all.map((server) => server.signal('SIGKILL')));
    for (const server of all) server.port = await freePort();
    await Promise.all(all.map((server) => server.start()));
    await app.afterRestore(access);
    const found = await app.compare(access, ledger, hold);
    expect(found).toMatchObject({ ok: true, missing: 0, gaps: 0, canWrite: true, problems: [] });
    expect(found.acknowledgedBeforeFreeze).toBeGreaterThanOrEqual(200);
  }, 300_000);
});
