import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Receipt } from '../../src/receipt/receipt.ts';
import { freePort } from '../../src/testbed/postgres/server.ts';
import { runCli } from '../../src/testbed/processes.ts';
import { KEY, Mongod } from '../support/mongod.ts';
import { TestSidecar } from '../support/sidecar.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { type Access, type App, holdOf, mongodb, readLedger } from './apps/index.ts';

const run = promisify(execFile);
const undo: (() => Promise<unknown>)[] = [];
let dir: string;

beforeEach(async () => {
  dir = await makeTempDir();
  undo.push(() => rm(dir, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

/** Three members on loopback in place of pods, each with a folder in place of a volume. */
class LoopbackSet {
  readonly access: Access;
  readonly members: ReadonlyMap<string, Mongod>;

  private constructor(members: ReadonlyMap<string, Mongod>) {
    this.members = members;
    const address = (pod: string): string => `127.0.0.1:${this.portOf(pod)}`;
    this.access = {
      namespace: 'here',
      reach: async (pod) => address(pod),
      forward: async (pod) => ({ port: this.portOf(pod), close: async () => undefined }),
      memberName: address,
    };
  }

  static async start(app: App, volumes: string, ports: readonly number[]): Promise<LoopbackSet> {
    const keyFile = join(dir, 'key');
    await writeFile(keyFile, KEY, { mode: 0o600 });
    const members = new Map(
      app.pods.map((pod, index) => {
        const port = ports[index] ?? 0;
        const dbPath = join(volumes, pod, 'db');
        return [pod, new Mongod({ dbPath, set: 'rs', keyFile, ...(port > 0 && { port }) })];
      }),
    );
    undo.push(() => Promise.all([...members.values()].map((server) => server.stop())));
    await Promise.all([...members.values()].map((server) => server.start()));
    return new LoopbackSet(members);
  }

  portOf(pod: string): number {
    return this.members.get(pod)?.port ?? 0;
  }

  get ports(): number[] {
    return [...this.members.keys()].map((pod) => this.portOf(pod));
  }

  /** A sidecar as the webhook configures it for the manifest. */
  async sidecar(name: string, pod: string, volumes: string, more = {}): Promise<TestSidecar> {
    const own = join(dir, `${name}-${pod}`);
    await mkdir(own);
    const sidecar = new TestSidecar(own, {
      QUIESCE_ENGINE: 'mongodb',
      QUIESCE_DATA_DIR: join(volumes, pod),
      QUIESCE_COPY: 'files',
      MONGODB_URI: `mongodb://127.0.0.1:${this.portOf(pod)}/`,
      MONGODB_USERNAME: 'quiesce',
      MONGODB_PASSWORD: 'least-privileged',
      ...more,
    });
    undo.push(() => sidecar.stop());
    return await sidecar.start();
  }
}

describe('a set of MongoDB', () => {
  it('that comes back under other names is a set again, and lacks nothing', async () => {
    const app = mongodb();
    const { access, members } = await LoopbackSet.start(app, dir, []);
    const all = [...members.values()];
    await app.initialise(access);
    const path = join(dir, 'ledger');
    const load = await app.startLoad(access, path, { clients: 3 });
    await load.progress(200);
    const hold = { freezeCalledAt: new Date() };
    await Promise.all(all.map((server) => server.signal('SIGKILL')));
    await load.stop();
    for (const server of all) server.port = await freePort();
    await Promise.all(all.map((server) => server.start()));
    await app.afterRestore(access);
    const found = await app.compare(access, await readLedger(path), hold);
    expect(found).toMatchObject({ ok: true, missing: 0, gaps: 0, canWrite: true, problems: [] });
    expect(found.acknowledgedBeforeFreeze).toBeGreaterThanOrEqual(200);
  }, 300_000);

  it('whose members were copied one after the other is a set again, and lacks nothing', async () => {
    const app = mongodb();
    const [volumes, copies] = [join(dir, 'volumes'), join(dir, 'copies')];
    const set = await LoopbackSet.start(app, volumes, []);
    await app.initialise(set.access);
    const path = join(dir, 'ledger');
    const load = await app.startLoad(set.access, path, { clients: 3 });
    await load.progress(100);
    await mkdir(copies);
    const receipts: Receipt[] = [];
    for (const pod of app.pods) {
      const sidecar = await set.sidecar('live', pod, volumes);
      const frozen = await sidecar.cli('freeze', '--id', pod);
      expect(frozen.code, frozen.stderr).toBe(0);
      await run('cp', ['-a', join(volumes, pod), copies]);
      const thawed = await sidecar.api('POST', '/v1/thaw', { id: pod });
      receipts.push(thawed.body as Receipt);
      await sidecar.stop();
      await load.progress(50);
    }
    expect(receipts.map(({ verdict }) => verdict)).toEqual(app.pods.map(() => 'consistent'));
    await load.stop();
    for (const server of set.members.values()) await server.stop();

    for (const pod of app.pods) {
      const prepared = await runCli(['prepare-restore', '--data', join(copies, pod)], {});
      expect(prepared.code, prepared.stderr).toBe(0);
    }
    const restored = await LoopbackSet.start(app, copies, set.ports);
    await app.afterRestore(restored.access);
    const found = await app.compare(restored.access, await readLedger(path), holdOf(receipts));
    expect(found).toMatchObject({ ok: true, missing: 0, gaps: 0, canWrite: true, problems: [] });
    expect(found.acknowledgedBeforeFreeze).toBeGreaterThanOrEqual(100);
    for (const pod of app.pods) {
      const mark = { QUIESCE_RESTORE_MARK: 'monday,' };
      const sidecar = await restored.sidecar('restored', pod, copies, mark);
      await expect
        .poll(async () => (await sidecar.cli('status')).stdout, { timeout: 30_000 })
        .toMatch(/: verified: /);
    }
  }, 300_000);
});
