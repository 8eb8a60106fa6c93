import { spawnSync } from 'node:child_process';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unmount } from '../../src/demo/mounts.ts';
import { tool } from '../../src/demo/os.ts';
import { makeVolume, type Volume } from '../../src/demo/volume.ts';
import { makeTempDir } from '../support/postgres.ts';
import { WallClock } from './clock.ts';
import type { Copy, Database, FaultMode } from './engine.ts';
import { Link } from './link.ts';
import { Sidecar } from './sidecar.ts';
import { Story } from './story.ts';

const STATE_SIZE = '256k';
const REFUSE_TRIES = 40;
const mounts = new Set<string>();
process.on('exit', () => {
  for (const point of mounts) spawnSync('umount', ['--lazy', point]);
});

/** Server, volume, writers, network and sidecar in one mode: made once, used by many runs. */
export class World {
  readonly dir: string;
  readonly mode: FaultMode;
  readonly volume: Volume;
  readonly database: Database;
  readonly link: Link;
  readonly clock: WallClock;
  readonly sidecar: Sidecar;
  /** `.quiesce/` on the volume. */
  readonly evidence: string;
  readonly #stage: { story: Story };
  readonly #watchers: FSWatcher[] = [];
  #copies = 0;
  #refusing = false;

  private constructor(
    dir: string,
    mode: FaultMode,
    volume: Volume,
    database: Database,
    link: Link,
    stage: { story: Story },
  ) {
    this.dir = dir;
    this.mode = mode;
    this.volume = volume;
    this.database = database;
    this.link = link;
    this.#stage = stage;
    this.evidence = join(volume.path, '.quiesce');
    this.clock = new WallClock(join(dir, 'clock'));
    this.sidecar = new Sidecar(dir, {
      ...this.clock.env,
      ...database.env(link.port),
      QUIESCE_DATA_DIR: volume.path,
    });
    link.onStep = (name) => this.story.step(name);
    this.sidecar.onExit = () => this.story.step('sidecar ended');
    this.sidecar.onLine = (line) => this.#heard(line);
  }

  /** Everything runs, and the sidecar is ready. */
  static async make(mode: FaultMode, version: string): Promise<World> {
    const dir = await makeTempDir('qf-');
    let database: Database | undefined;
    const volume = await makeVolume(dir, { postmaster: () => database?.pid });
    const stage = { story: new Story() };
    const step = (name: string): void => stage.story.step(name);
    const own = join(dir, 'd');
    await mkdir(own);
    database = await mode.make({ dir: own, version, volume, step });
    const link = await Link.to(database.port, database.wire);
    const world = new World(dir, mode, volume, database, link, stage);
    try {
      await world.#begin();
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  async #begin(): Promise<void> {
    const { database, sidecar } = this;
    await mkdir(this.evidence);
    await database.start();
    await mkdir(sidecar.stateDir, { mode: 0o700 });
    if (this.mounts) {
      const options = `size=${STATE_SIZE},mode=700`;
      await tool('mount', '-t', 'tmpfs', '-o', options, 'quiesce-state', sidecar.stateDir);
      mounts.add(sidecar.stateDir);
    }
    this.#watchers.push(
      watch(sidecar.stateDir, (_, name) => this.#stateChanged(name ?? '')),
      watch(this.evidence, (_, name) => this.#evidenceChanged(name ?? '')),
    );
    await sidecar.start();
    await sidecar.ready();
  }

  /** File systems can be mounted here, and so be made full or read-only. */
  get mounts(): boolean {
    return this.volume.kind === 'btrfs';
  }

  /** The run that is on: who is told of steps. */
  get story(): Story {
    return this.#stage.story;
  }

  set story(story: Story) {
    this.#stage.story = story;
  }

  #stateChanged(name: string): void {
    if (/^\.\d+-.*\.tmp$/.test(name)) return this.#once('journal temporary');
    if (name === 'receipts.json') return this.#once('verdict kept');
    if (name !== 'open.json') return;
    if (!existsSync(join(this.sidecar.stateDir, name))) this.story.step('journal removed');
    else if (this.story.at('journal written') === undefined) this.story.step('journal written');
    else this.story.step('journal rewritten');
  }

  #evidenceChanged(name: string): void {
    const there = existsSync(join(this.evidence, name));
    if (name === 'receipt.json') this.story.step(there ? 'receipt written' : 'receipt removed');
    const own = this.mode.evidenceSteps[name];
    if (own !== undefined && there) this.#once(own);
  }

  #once(name: string): void {
    if (this.story.at(name) === undefined) this.story.step(name);
  }

  #heard(line: string): void {
    const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? '';
    if (message === 'freeze requested' || message === 'thaw requested') this.story.step(message);
    else if (message.startsWith('frozen after ')) this.story.step('frozen');
    else if (message.startsWith('freeze ended')) this.story.step('freeze ended');
  }

  async cut(): Promise<Copy> {
    this.#copies += 1;
    return await this.database.cut(`copy-${this.#copies}`);
  }

  /** Takes all room of the journal's file system; anything that shrinks to nothing still fits. */
  async fillState(): Promise<void> {
    const { bavail, bsize } = await statfs(this.sidecar.stateDir);
    await writeFile(join(this.sidecar.stateDir, 'ballast'), Buffer.alloc(bavail * bsize)).catch(
      () => undefined,
    );
  }

  /** Takes all room of the data volume: server and sidecar find it full. */
  async fillVolume(): Promise<void> {
    const ballast = join(dirname(this.volume.path), 'ballast');
    for (let part = 0; part < 12; part += 1) {
      const { bavail, bsize } = await statfs(this.volume.path);
      const size = Math.floor((bavail * bsize) / (part < 4 ? 1 : 2));
      if (size < 65_536) return;
      await tool('fallocate', '-l', String(size), `${ballast}-${part}`).catch(() => undefined);
    }
  }

  /** Makes `.quiesce/` read-only for everybody, in place: nothing can be written or removed there. */
  /** @returns whether it is so: the kernel refuses as long as a file there is open for writing. */
  async refuseEvidence(): Promise<boolean> {
    if (this.#refusing) return true;
    this.#refusing = true;
    await tool('mount', '--bind', this.evidence, this.evidence);
    mounts.add(this.evidence);
    for (let attempt = 0; attempt < REFUSE_TRIES; attempt += 1) {
      const refused = await tool('mount', '-o', 'remount,ro,bind', this.evidence).then(
        () => true,
        () => false,
      );
      if (refused) return true;
      await sleep(25);
    }
    return false;
  }

  async emptyState(): Promise<void> {
    await rm(join(this.sidecar.stateDir, 'ballast'), { force: true });
  }

  async emptyVolume(): Promise<void> {
    const top = dirname(this.volume.path);
    for (let part = 0; part < 12; part += 1) {
      await rm(join(top, `ballast-${part}`), { force: true });
    }
    await tool('btrfs', 'filesystem', 'sync', top);
  }

  async allowEvidence(): Promise<void> {
    if (!this.#refusing) return;
    await unmount(this.evidence);
    mounts.delete(this.evidence);
    this.#refusing = false;
  }

  /** Waits until the sidecar reaches its database, which may give up by itself some time after a crash. */
  async ready(): Promise<void> {
    const there = new AbortController();
    const serving = (async () => {
      while (!there.signal.aborted) {
        await this.database.serve();
        await sleep(500, undefined, { signal: there.signal }).catch(() => undefined);
      }
    })();
    serving.catch(() => undefined);
    try {
      await this.sidecar.ready();
    } finally {
      there.abort();
      await serving;
    }
  }

  /** Undoes all that a fault may have left on. */
  async heal(): Promise<void> {
    this.link.mend();
    this.clock.jump(0);
    this.sidecar.signal('SIGCONT');
    await this.emptyState();
    await this.allowEvidence();
    await this.database.serve();
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.close();
    await this.heal().catch(() => undefined);
    await this.sidecar.close();
    await this.database.close().catch(() => undefined);
    this.link.close();
    for (const point of mounts) await tool('umount', point).catch(() => undefined);
    mounts.clear();
    await this.volume.dispose().catch(() => undefined);
    await rm(this.dir, { recursive: true, force: true });
  }
}
