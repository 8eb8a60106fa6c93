import { mkdir, rm } from 'node:fs/promises';
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeVolume } from '../../src/testbed/volume/make-volume.ts';
import type { Volume } from '../../src/testbed/volume/volume.ts';
import { makeTempDir } from '../support/postgres.ts';
import { WallClock } from './clock.ts';
import { Disks } from './disks.ts';
import type { Copy, Database, FaultMode } from './engine.ts';
import { Link } from './link.ts';
import { Sidecar } from './sidecar.ts';
import { RunLog } from './run-log.ts';

/** Server, volume, writers, network and sidecar of one mode: made once, used by many runs. */
export class Rig {
  readonly dir: string;
  readonly mode: FaultMode;
  readonly volume: Volume;
  readonly database: Database;
  readonly link: Link;
  readonly clock: WallClock;
  readonly sidecar: Sidecar;
  readonly disks: Disks;
  /** `.quiesce/` on the volume. */
  readonly evidence: string;
  readonly #current: { log: RunLog };
  readonly #watchers: FSWatcher[] = [];
  #evidenceWatcher: FSWatcher | undefined;
  /** Problems found while a fault was carried out. */
  readonly troubles: string[] = [];
  #seconds = 0;
  #copies = 0;

  private constructor(
    dir: string,
    mode: FaultMode,
    volume: Volume,
    database: Database,
    link: Link,
    current: { log: RunLog },
  ) {
    this.dir = dir;
    this.mode = mode;
    this.volume = volume;
    this.database = database;
    this.link = link;
    this.#current = current;
    this.evidence = join(volume.path, '.quiesce');
    this.clock = new WallClock(join(dir, 'clock'));
    this.sidecar = new Sidecar(dir, this.#env);
    const { stateDir } = this.sidecar;
    this.disks = new Disks({ volume: volume.path, stateDir, evidence: this.evidence });
    link.onStep = (name) => this.log.step(name);
    this.sidecar.onExit = () => this.log.step('sidecar ended');
    this.sidecar.onLine = (line) => this.#onLogLine(line);
  }

  /** Resolves when everything runs and the sidecar is ready. */
  static async make(mode: FaultMode, version: string): Promise<Rig> {
    const dir = await makeTempDir('qf-');
    let database: Database | undefined;
    const volume = await makeVolume(dir, { postmaster: () => database?.pid });
    const current = { log: new RunLog() };
    const step = (name: string): void => current.log.step(name);
    const own = join(dir, 'd');
    await mkdir(own);
    database = await mode.make({ dir: own, version, volume, step });
    const link = await Link.to(database.port, database.wire);
    const rig = new Rig(dir, mode, volume, database, link, current);
    try {
      await rig.#begin();
    } catch (error) {
      await rig.close();
      throw error;
    }
    return rig;
  }

  async #begin(): Promise<void> {
    const { database, sidecar } = this;
    await mkdir(this.evidence);
    await database.start();
    await mkdir(sidecar.stateDir, { mode: 0o700 });
    if (this.mounts) await this.disks.mountState();
    this.#watchers.push(
      watch(sidecar.stateDir, (_, name) => this.#stateChanged(name ?? '')),
      watch(this.volume.path, (_, name) => {
        if (name === '.quiesce') this.#watchEvidence();
      }),
    );
    this.#watchEvidence();
    await sidecar.start();
    await sidecar.ready();
  }

  get #env(): Readonly<Record<string, string>> {
    const { clock, database, link, volume } = this;
    return { ...clock.env, ...database.env(link.port), QUIESCE_DATA_DIR: volume.path };
  }

  /** A sidecar of another pod on the same volume, with its own state. It is not started yet. */
  async anotherSidecar(): Promise<Sidecar> {
    this.#seconds += 1;
    const dir = join(this.dir, `second-${this.#seconds}`);
    await mkdir(dir);
    return new Sidecar(dir, this.#env);
  }

  /** Watches `.quiesce/` again: the folder may have been removed and created again. */
  #watchEvidence(): void {
    this.#evidenceWatcher?.close();
    this.#evidenceWatcher = undefined;
    if (!existsSync(this.evidence)) return;
    const watcher = watch(this.evidence, (_, name) => this.#evidenceChanged(name ?? ''));
    watcher.on('error', () => undefined);
    this.#evidenceWatcher = watcher;
  }

  /** Whether file systems can be mounted here, and so be made full or read-only. */
  get mounts(): boolean {
    return this.volume.kind === 'btrfs';
  }

  /** The log of the current run, which gets the steps. */
  get log(): RunLog {
    return this.#current.log;
  }

  set log(log: RunLog) {
    this.#current.log = log;
  }

  #stateChanged(name: string): void {
    if (/^\.\d+-.*\.tmp$/.test(name)) return this.#once('journal temporary');
    if (name === 'receipts.json') return this.#once('verdict kept');
    if (name !== 'open.json') return;
    if (!existsSync(join(this.sidecar.stateDir, name))) this.log.step('journal removed');
    else if (this.log.at('journal written') === undefined) this.log.step('journal written');
    else this.log.step('journal rewritten');
  }

  #evidenceChanged(name: string): void {
    const there = existsSync(join(this.evidence, name));
    if (name === 'receipt.json') this.log.step(there ? 'receipt written' : 'receipt removed');
    const own = this.mode.evidenceSteps[name];
    if (own !== undefined && there) this.#once(own);
  }

  #once(name: string): void {
    if (this.log.at(name) === undefined) this.log.step(name);
  }

  #onLogLine(line: string): void {
    const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? '';
    if (message === 'freeze requested' || message === 'thaw requested') this.log.step(message);
    else if (message.startsWith('frozen after ')) this.log.step('frozen');
    else if (message.startsWith('freeze ended')) this.log.step('freeze ended');
  }

  async cut(): Promise<Copy> {
    this.#copies += 1;
    return await this.database.cut(`copy-${this.#copies}`);
  }

  /** Waits until the sidecar reaches its database, which may stop on its own some time after a crash. */
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

  /** Undoes everything that a fault may have left in effect. */
  async heal(): Promise<void> {
    this.link.repair();
    this.clock.jump(0);
    this.sidecar.signal('SIGCONT');
    await this.disks.emptyState();
    await this.disks.allowEvidence();
    await this.database.serve();
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.close();
    this.#evidenceWatcher?.close();
    await this.heal().catch(() => undefined);
    await this.sidecar.close();
    await this.database.close().catch(() => undefined);
    this.link.close();
    await this.disks.close();
    await this.volume.dispose().catch(() => undefined);
    await rm(this.dir, { recursive: true, force: true });
  }
}
