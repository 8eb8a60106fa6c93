import { spawnSync } from 'node:child_process';
import { chown, mkdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedPostgres, freePort } from '../../src/demo/embedded-postgres.ts';
import { WriterLoad } from '../../src/demo/load.ts';
import { tool } from '../../src/demo/os.ts';
import { makeVolume, type Snapshot, type Volume } from '../../src/demo/volume.ts';
import { makeTempDir, ROLE_PASSWORD, roleSql } from '../support/postgres.ts';
import { query } from '../support/rig.ts';
import { WallClock } from './clock.ts';
import { Link } from './link.ts';
import { Sidecar } from './sidecar.ts';
import { Story } from './story.ts';

const STATE_SIZE = '256k';
const mounts = new Set<string>();
process.on('exit', () => {
  for (const point of mounts) spawnSync('umount', ['--lazy', point]);
});

/** Server, volume, writers, network and sidecar: made once, used by many runs. */
export class World {
  readonly dir: string;
  readonly volume: Volume;
  readonly server: EmbeddedPostgres;
  readonly load: WriterLoad;
  readonly link: Link;
  readonly clock: WallClock;
  readonly sidecar: Sidecar;
  readonly evidence: string;
  story = new Story();
  readonly #watchers: FSWatcher[] = [];
  #copies = 0;
  #refusing = false;

  private constructor(
    dir: string,
    volume: Volume,
    server: EmbeddedPostgres,
    load: WriterLoad,
    link: Link,
  ) {
    this.dir = dir;
    this.volume = volume;
    this.server = server;
    this.load = load;
    this.link = link;
    this.evidence = join(volume.path, '.quiesce');
    this.clock = new WallClock(join(dir, 'clock'));
    this.sidecar = new Sidecar(dir, {
      ...this.clock.env,
      ...server.env('tcp'),
      PGPORT: String(link.port),
      PGUSER: 'quiesce',
      PGPASSWORD: ROLE_PASSWORD,
      PGSSLMODE: 'disable',
      QUIESCE_DATA_DIR: volume.path,
    });
    link.onStep = (name) => this.story.step(name);
    this.sidecar.onExit = () => this.story.step('sidecar ended');
    this.sidecar.onLine = (line) => this.#heard(line);
  }

  static async make(major: number): Promise<World> {
    const dir = await makeTempDir('qf-');
    const volume = await makeVolume(dir, { kind: 'btrfs' });
    const server = await EmbeddedPostgres.at({
      major,
      dataDir: join(volume.path, 'pgdata'),
      port: await freePort(),
      socketDir: join(dir, 's'),
      logFile: join(dir, 'server.log'),
      settings: { max_wal_size: '96MB', min_wal_size: '48MB', checkpoint_timeout: '30s' },
    });
    const load = new WriterLoad({
      connection: {
        host: '127.0.0.1',
        port: server.options.port,
        user: 'postgres',
        password: 'postgres',
        database: 'postgres',
      },
      clients: 4,
      thinkMs: 12,
    });
    const link = await Link.to(server.options.port);
    const world = new World(dir, volume, server, load, link);
    await world.#begin();
    return world;
  }

  async #begin(): Promise<void> {
    const { server, load, sidecar } = this;
    await server.initdb();
    await server.start();
    await query(server, await roleSql());
    await query(server, `ALTER ROLE quiesce PASSWORD '${ROLE_PASSWORD}'`);
    await query(server, 'CREATE TABLE canary (at timestamptz)');
    await load.prepare();
    await mkdir(this.evidence);
    if (server.user) await chown(this.evidence, server.user.uid, server.user.gid);
    await mkdir(sidecar.stateDir, { mode: 0o700 });
    const options = `size=${STATE_SIZE},mode=700`;
    await tool('mount', '-t', 'tmpfs', '-o', options, 'quiesce-state', sidecar.stateDir);
    mounts.add(sidecar.stateDir);
    this.#watchers.push(
      watch(sidecar.stateDir, (_, name) => this.#stateChanged(name ?? '')),
      watch(this.evidence, (_, name) => this.#evidenceChanged(name ?? '')),
    );
    await load.start();
    await sidecar.start();
    await sidecar.ready();
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
    if (name === 'postgres.backup_label' && there) this.#once('label written');
  }

  #once(name: string): void {
    if (this.story.at(name) === undefined) this.story.step(name);
  }

  #heard(line: string): void {
    const message = /"msg":"([^"]*)"/.exec(line)?.[1] ?? '';
    const step = ['freeze requested', 'frozen', 'thaw requested'].find(
      (known) => message === known,
    );
    if (step) this.story.step(step);
    else if (message.startsWith('freeze ended')) this.story.step('freeze ended');
  }

  async cut(): Promise<Snapshot> {
    this.#copies += 1;
    return await this.volume.snapshot(`copy-${this.#copies}`);
  }

  async drop(copy: string): Promise<void> {
    await tool('btrfs', 'subvolume', 'delete', copy).catch(() => undefined);
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
  async refuseEvidence(): Promise<void> {
    if (this.#refusing) return;
    this.#refusing = true;
    await tool('mount', '--bind', this.evidence, this.evidence);
    mounts.add(this.evidence);
    await tool('mount', '-o', 'remount,ro,bind', this.evidence);
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
    await tool('umount', this.evidence);
    mounts.delete(this.evidence);
    this.#refusing = false;
  }

  /** The postmaster's process id, also when it was not started by us a moment ago. */
  async postmaster(): Promise<number | undefined> {
    const file = join(this.server.options.dataDir, 'postmaster.pid');
    const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
    return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
  }

  /** Starts the server where it is down, as often as it takes. */
  async serve(): Promise<void> {
    for (let attempt = 1; (await this.postmaster()) !== this.server.pid || !this.server.pid;) {
      try {
        await this.server.start();
        return;
      } catch (error) {
        attempt += 1;
        if (attempt > 20) throw error;
        await sleep(200);
      }
    }
  }

  /** Undoes all that a fault may have left on. */
  async heal(): Promise<void> {
    this.link.mend();
    this.clock.jump(0);
    this.sidecar.signal('SIGCONT');
    await this.emptyState();
    await this.allowEvidence();
    await this.serve();
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.close();
    await this.heal().catch(() => undefined);
    await this.sidecar.close();
    await this.load.stop(1_000).catch(() => undefined);
    await this.server.stop('immediate').catch(() => undefined);
    this.link.close();
    for (const point of mounts) await tool('umount', point).catch(() => undefined);
    mounts.clear();
    await this.volume.dispose().catch(() => undefined);
    await rm(this.dir, { recursive: true, force: true });
  }
}
