import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type BlockVolume, makeBlockVolume } from '../../support/block-volume.ts';
import { copyFileByFile } from '../../support/file-copy.ts';
import { type Acked, missing, MongoLoad, WEAK } from '../../support/mongo-load.ts';
import {
  Mongod,
  MongoSet,
  mongoEnv,
  restoreAlone,
  ROOT,
  startStandalone,
} from '../../support/mongod.ts';
import { makeTempDir } from '../../support/postgres.ts';
import { TestSidecar } from '../../support/sidecar.ts';

/** Set QUIESCE_TEST_TRIALS=20 for a long run. */
const TRIALS = Number(process.env['QUIESCE_TEST_TRIALS'] ?? 2);
/** At most this many copies are made without a freeze to see one broken. */
const BARE_TRIALS = 8;
const TRIAL_WITHIN_MS = 120_000;
/** A checkpoint each second, so that files change during a copy without a lock. */
const CHECKPOINTS = ['--syncdelay', '1'];

const STREAM = { ...WEAK, name: 'stream' };

type Copy = 'snapshot' | 'files';

interface Place {
  readonly server: Mongod;
  readonly volume: BlockVolume;
}

/** Servers on block volumes; some of them are frozen. */
interface Rig {
  readonly places: readonly Place[];
  /** The applications' client, which follows the primary. */
  readonly client: MongoClient;
  /** Follows the documented steps up to a server that answers. */
  restore(server: Mongod): Promise<Mongod>;
  stop(): Promise<void>;
}

interface Ledgers {
  readonly strong: Acked;
  readonly weak: Acked;
  readonly stream: Acked;
}

/** Applications and an adversary that creates and drops tables, so that the server's list of files changes. */
class Storm {
  readonly #client: MongoClient;
  readonly #strong: MongoLoad;
  readonly #weak: MongoLoad;
  readonly #stream: MongoLoad;
  #running: Promise<void> = Promise.resolve();
  #calm = true;
  #tables = 0;

  constructor(client: MongoClient) {
    this.#client = client;
    this.#strong = new MongoLoad(client);
    // With pauses: a steady stream of these keeps a primary from being frozen at all.
    this.#weak = new MongoLoad(client, 2, 40, WEAK);
    this.#stream = new MongoLoad(client, 2, 0, STREAM);
  }

  acked(): Ledgers {
    const [strong, weak] = [this.#strong.acked(), this.#weak.acked()];
    return { strong, weak, stream: this.#stream.acked() };
  }

  /** @param streaming include writers that never wait for the journal. */
  async rise(streaming = false): Promise<void> {
    this.#calm = false;
    this.#strong.start();
    this.#weak.start();
    if (streaming) this.#stream.start();
    this.#running = this.#makeAndDrop();
    await this.#strong.progress(200);
  }

  async abate(): Promise<void> {
    this.#calm = true;
    const loads = [this.#strong, this.#weak, this.#stream];
    await Promise.all([...loads.map((load) => load.stop()), this.#running]);
  }

  async #makeAndDrop(): Promise<void> {
    const db = this.#client.db('chaos');
    const padding = 'y'.repeat(5_000);
    for (; !this.#calm; this.#tables += 1) {
      try {
        const table = db.collection(`c${this.#tables}`);
        await table.insertMany(Array.from({ length: 20 }, (_one, n) => ({ n, padding })));
        await table.createIndex({ n: 1 });
        if (this.#tables > 3) await db.collection(`c${this.#tables - 3}`).drop();
      } catch {
        // Waits while the server is locked.
      }
    }
  }
}

async function startSet(dir: string): Promise<Rig> {
  const volumes: BlockVolume[] = [];
  const pids: (() => number | undefined)[] = [];
  for (const index of [0, 1]) {
    const postmaster = (): number | undefined => pids[index]?.();
    volumes.push(await makeBlockVolume(dir, { name: `v${index}`, postmaster }));
  }
  const dbPaths = volumes.map(({ path }) => join(path, 'db'));
  const set = await MongoSet.start(dir, { dbPaths, args: CHECKPOINTS });
  pids.push(...set.members.map((member) => () => member.pid));
  const client = set.client();
  return {
    places: volumes.map((volume, index) => ({ volume, server: set.member(index) })),
    client,
    restore: restoreAlone,
    stop: async () => {
      await client.close();
      await set.stop();
      for (const volume of volumes) await volume.dispose();
    },
  };
}

async function startAlone(dir: string): Promise<Rig> {
  let server: Mongod | undefined;
  const volume = await makeBlockVolume(dir, { name: 'alone', postmaster: () => server?.pid });
  const started = await startStandalone(join(volume.path, 'db'), CHECKPOINTS);
  server = started;
  return {
    places: [{ volume, server }],
    client: server.client({ auth: ROOT }),
    restore: (copy) => copy.start(),
    stop: async () => {
      await started.stop();
      await volume.dispose();
    },
  };
}

const rigs = [
  ['a server alone', startAlone, ['server']],
  ['a set of three', startSet, ['primary', 'secondary']],
] as const;

describe.each(rigs)('%s', (_name, start, roles) => {
  let dir: string;
  let rig: Rig;
  let storm: Storm;
  let sidecar: TestSidecar | undefined;
  let copies = 0;

  // A test that failed midway must still release its server.
  afterEach(() => sidecar?.stop());

  beforeAll(async () => {
    dir = await makeTempDir();
    rig = await start(dir);
    storm = new Storm(rig.client);
  });

  afterAll(async () => {
    await storm.abate();
    await rig.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** A file-by-file copy in the worst order: half of the files, a checkpoint if possible, then the others. */
  async function copyOf(
    { volume }: Place,
    copy: Copy,
    name: string,
    seed: number,
  ): Promise<string> {
    // An earlier try of the test may have left a copy with this name.
    copies += 1;
    if (copy === 'snapshot') return (await volume.snapshot(`${name}-${copies}`)).path;
    const to = join(dir, `${name}-${copies}`);
    await copyFileByFile(volume.path, to, { between: () => sleep(1_200), seed });
    return to;
  }

  async function examine(path: string, { strong, weak, stream }: Ledgers): Promise<string[]> {
    const server = new Mongod({ dbPath: join(path, 'db'), auth: false });
    try {
      await rig.restore(server);
      const client = server.client();
      return [
        ...(await missing(client, strong)),
        ...(await missing(client, weak, WEAK)),
        ...(await missing(client, stream, STREAM)),
      ];
    } catch (error) {
      return [`it does not start: ${(error as Error).message.slice(0, 80)}`];
    } finally {
      await server.stop();
    }
  }

  async function discard(path: string): Promise<void> {
    await rm(join(path, 'db'), { recursive: true, force: true });
  }

  async function sidecarFor({ server, volume }: Place, copy: Copy): Promise<TestSidecar> {
    const own = await mkdtemp(join(dir, 'q'));
    return await new TestSidecar(own, {
      ...mongoEnv(server, volume.path),
      QUIESCE_COPY: copy,
    }).start();
  }

  const subjects = roles.flatMap((role, index) =>
    (['snapshot', 'files'] as const).map((copy) => [role, copy, index] as const),
  );

  describe.each(subjects)('copies of the %s by %s', (role, copy, index) => {
    function place(): Place {
      const found = rig.places[index];
      if (!found) throw new Error(`there is no place ${index}`);
      return found;
    }

    test(
      `made between freeze and thaw lack no acknowledged write, in ${TRIALS} of ${TRIALS} trials`,
      { timeout: TRIAL_WITHIN_MS * TRIALS },
      async () => {
        const started = await sidecarFor(place(), copy);
        sidecar = started;
        const found: string[] = [];
        for (let trial = 0; trial < TRIALS; trial += 1) {
          await storm.rise();
          const id = `${role}-${copy}-${trial}`;
          // A secondary promises the writes acknowledged before the freeze was requested.
          const before = storm.acked();
          const frozen = await started.api('POST', '/v1/freeze', { id, timeout: '60s' });
          expect(frozen.status, JSON.stringify(frozen.body)).toBe(200);
          const promised = role === 'secondary' ? before : storm.acked();
          const path = await copyOf(place(), copy, id, trial);
          const thawed = await started.api('POST', '/v1/thaw', { id });
          expect(thawed.status, JSON.stringify(thawed.body)).toBe(200);
          await storm.abate();
          const prepared = await started.cli('prepare-restore', '--data', path);
          expect(prepared.code, prepared.stderr).toBe(0);
          const problems = await examine(path, promised);
          found.push(...problems.map((problem) => `${id}: ${problem}`));
          await discard(path);
        }
        expect(found).toEqual([]);
      },
    );

    test(
      'made without a freeze are broken by the same load',
      { timeout: TRIAL_WITHIN_MS * BARE_TRIALS },
      async () => {
        let found: string[] = [];
        for (let trial = 0; trial < BARE_TRIALS && found.length === 0; trial += 1) {
          await storm.rise(true);
          const promised = storm.acked();
          const path = await copyOf(place(), copy, `bare-${role}-${copy}-${trial}`, trial);
          await storm.abate();
          found = await examine(path, promised);
          await discard(path);
        }
        // A stand-in for a block volume would include the page cache, and so writes that no server synced.
        if (copy === 'snapshot') expect(place().volume.kind).toBe('block');
        expect(found).not.toEqual([]);
      },
    );
  });
});
