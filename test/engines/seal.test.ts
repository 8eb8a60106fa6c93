import {
  appendFile,
  chmod,
  chown,
  link,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Breach, FreezeContext, OwnFiles } from '../../src/engines/engine.ts';
import { ownFiles as ofMongodb } from '../../src/engines/mongodb/data-dir/own-files.ts';
import { ownFiles as ofPostgres } from '../../src/engines/postgres/data-dir/own-files.ts';
import { ownFiles as ofRedis } from '../../src/engines/redis/data-dir/own-files.ts';
import { Kept } from '../../src/engines/shared/seal/kept.ts';
import { hashOf, Known } from '../../src/engines/shared/seal/known.ts';
import { Lanes } from '../../src/engines/shared/seal/lanes.ts';
import { type Seal, Sealer } from '../../src/engines/shared/seal/seal.ts';
import { syncFile } from '../../src/engines/shared/seal/sync-file.ts';
import { Unsynced } from '../../src/engines/shared/seal/unsynced.ts';
import { Walk } from '../../src/engines/shared/seal/walk.ts';
import { SealingEngine } from '../../src/engines/sealing.ts';
import { tool } from '../../src/testbed/os.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const OTHER = 65_534;
const nothing: OwnFiles = async () => false;
const context: FreezeContext = {
  id: 'sealed',
  copy: 'snapshot',
  ttlMs: 1_000,
  progress: () => undefined,
  keep: async () => undefined,
  remember: async () => undefined,
};
const never = (): AbortSignal => new AbortController().signal;

let outer: string;
let dir: string;
const undo: (() => unknown)[] = [];
beforeEach(async () => {
  outer = await makeTempDir();
  dir = join(outer, 'data');
  await mkdir(dir);
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
  await rm(outer, { recursive: true, force: true });
});

async function make(files: readonly string[]): Promise<void> {
  for (const file of files) {
    await mkdir(dirname(join(dir, file)), { recursive: true });
    await writeFile(join(dir, file), 'x');
  }
}

/** The names that a look would sync. */
async function placesOf(ownFiles: OwnFiles, acrossVolumes = false): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of new Walk({ root: dir, ownFiles, acrossVolumes }).places()) {
    names.push(name);
  }
  return names.toSorted();
}

/** The files below the volume that this process has open. */
async function openFiles(): Promise<string[]> {
  const fds = await readdir('/proc/self/fd');
  const paths = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return paths.filter((path) => path.startsWith(dir)).map((path) => path.slice(dir.length + 1));
}

async function begun(): Promise<Seal> {
  const seal = await new Sealer(dir, nothing).begin(context, never());
  undo.push(() => seal.close());
  return seal;
}

describe('which files are synced', () => {
  it('PostgreSQL: everything outside of base, global, pg_wal, pg_xact and tablespaces, wherever PGDATA is', async () => {
    await make([
      'pgdata/PG_VERSION',
      'pgdata/base/1/1259',
      'pgdata/base/pgsql_tmp/pgsql_tmp1.0',
      'pgdata/global/pg_control',
      'pgdata/pg_wal/000000010000000000000001',
      'pgdata/pg_xact/0000',
      'pgdata/pg_subtrans/0000',
      'pgdata/pg_tblspc/16400/PG_17_202406281/1/2',
      'pgdata/pg_multixact/offsets/0000',
      'pgdata/pg_logical/replorigin_checkpoint',
      'pgdata/postgresql.conf',
      'pgdata/pg_hba.conf',
      'conf/base/server.key',
      'wal/000000010000000000000002',
      '.quiesce/receipt.json',
      'lost+found/#1',
    ]);
    const places = await placesOf(ofPostgres);
    expect(places.filter((name) => !name.endsWith('/'))).toEqual([
      'conf/base/server.key',
      'pgdata/PG_VERSION',
      'pgdata/pg_hba.conf',
      'pgdata/pg_logical/replorigin_checkpoint',
      'pgdata/pg_multixact/offsets/0000',
      'pgdata/postgresql.conf',
    ]);
    expect(places).toEqual(expect.arrayContaining(['./', 'conf/base/', 'pgdata/']));
  });

  it('Redis: configuration, ACL file and nodes.conf, not the AOF or RDB', async () => {
    await make([
      'redis.conf',
      'users.acl',
      'nodes.conf',
      'dump.rdb',
      'temp-1234.rdb',
      'temp-rewriteaof-12.aof',
      'appendonly.aof',
      'appendonlydir/appendonly.aof.1.incr.aof',
      'appendonlydir/appendonly.aof.manifest',
      'temp-settings.conf',
    ]);
    const files = (await placesOf(ofRedis)).filter((name) => !name.endsWith('/'));
    expect(files).toEqual(['nodes.conf', 'redis.conf', 'temp-settings.conf', 'users.acl']);
  });

  it('MongoDB: everything outside of tables and journal', async () => {
    await make([
      'db/WiredTiger',
      'db/WiredTiger.turtle',
      'db/collection-0--1.wt',
      'db/app/index-1--1.wt',
      'db/journal/WiredTigerLog.1',
      'db/diagnostic.data/metrics.1',
      'db/storage.bson',
      'db/keyFile',
      'mongod.conf',
    ]);
    const files = (await placesOf(ofMongodb)).filter((name) => !name.endsWith('/'));
    expect(files).toEqual(['db/keyFile', 'db/storage.bson', 'mongod.conf']);
  });

  it('no sockets and pipes, and of links the files on the same volume, even in circles', async () => {
    await make(['conf/hba.conf']);
    await writeFile(join(outer, 'beside.conf'), 'x');
    await tool('mkfifo', join(dir, 'pipe'));
    const server: Server = createServer().listen(join(dir, 'socket'));
    undo.push(() => server.close());
    await symlink('conf/hba.conf', join(dir, 'hba.conf'));
    await symlink('.', join(dir, 'circle'));
    await symlink(join(outer, 'beside.conf'), join(dir, 'linked.conf'));
    await symlink('/nowhere/at/all', join(dir, 'dangling'));
    await symlink('/dev/null', join(dir, 'device'));
    await symlink('/', join(dir, 'root'));
    expect(await placesOf(nothing)).toEqual(
      [`${outer}/`, `${outer}/beside.conf`, './', 'conf/', 'conf/hba.conf'].toSorted(),
    );
  });

  it('no data directory: nothing, and no failure', async () => {
    await rm(dir, { recursive: true });
    const seal = await begun();
    await seal.first();
    await seal.again();
    expect(seal.unsynced).toEqual([]);
  });
});

describe('the looks', () => {
  it('sync what is new or was changed between them, and keep the descriptors to the end', async () => {
    await make(['old.conf', 'gone.conf']);
    const seal = await begun();
    await seal.first();
    await rm(join(dir, 'gone.conf'));
    await make(['new/late.conf']);
    await appendFile(join(dir, 'old.conf'), 'more');
    const before = await openFiles();
    expect(before).toContain('old.conf');
    expect(before).not.toContain('new/late.conf');
    await seal.again();
    expect(await openFiles()).toEqual(expect.arrayContaining(['old.conf', 'new/late.conf', 'new']));
    expect(seal.unsynced).toEqual([]);
    expect(await seal.check()).toEqual([]);
    seal.close();
    await expect.poll(openFiles).toEqual([]);
  });

  it('survive files that are replaced and vanish all the time', async () => {
    await make(['nodes.conf']);
    const seal = await begun();
    const end = new AbortController();
    const replacing = (async () => {
      for (let n = 0; !end.signal.aborted; n += 1) {
        const temporary = join(dir, `nodes.conf.${n}`);
        await writeFile(temporary, String(n));
        await rename(temporary, join(dir, 'nodes.conf'));
      }
    })();
    for (let n = 0; n < 20; n += 1) await (n === 0 ? seal.first() : seal.again());
    end.abort();
    await replacing;
    expect(seal.unsynced).toEqual([]);
  });

  it('close everything when the freeze is aborted, and end at once', async () => {
    await make(Array.from({ length: 500 }, (_, n) => `conf/${n}`));
    const abort = new AbortController();
    const seal = await new Sealer(dir, nothing).begin(context, abort.signal);
    const looking = seal.first();
    setImmediate(() => abort.abort(new Error('given up')));
    await expect(looking).rejects.toThrow('given up');
    await expect.poll(openFiles).toEqual([]);
  });

  it('of a freeze with little time left name what they did not reach', async () => {
    await make(Array.from({ length: 300 }, (_, n) => `conf/${n}`));
    const hurried = { ...context, remainingMs: () => 0 };
    const seal = await new Sealer(dir, nothing).begin(hurried, never());
    undo.push(() => seal.close());
    await seal.first();
    await seal.again();
    expect(seal.unsynced.at(-1)).toMatch(/^… and /);
    expect(seal.limits).toEqual([
      { code: 'files-not-synced', note: expect.stringContaining('may not be on the disk') },
    ]);
  });
});

describe('a file that cannot be opened', () => {
  it('is listed, with the reason in the note; a private file of root is not the server’s', async () => {
    await make(['secret.key', 'plain.conf', 'hidden/inside.conf', 'root.key']);
    for (const name of ['secret.key', 'hidden', 'root.key']) await chmod(join(dir, name), 0o000);
    const root = process.getuid?.() === 0;
    // As another user than root, root.key has the same owner as the others.
    if (root)
      for (const name of ['secret.key', 'hidden']) await chown(join(dir, name), OTHER, OTHER);
    else await rm(join(dir, 'root.key'), { force: true });
    const seal = await begun();
    if (root) process.seteuid?.(OTHER);
    try {
      await seal.first();
      await seal.again();
    } finally {
      if (root) process.seteuid?.(0);
      await chmod(join(dir, 'hidden'), 0o700);
    }
    expect(seal.unsynced.toSorted()).toEqual(['hidden/', 'secret.key']);
    const [{ note }] = seal.limits as [Breach];
    expect(note).toContain('secret.key (permission denied (EACCES))');
  });
});

describe('the list of what is not synced', () => {
  it('names the first hundred and counts the others', () => {
    const unsynced = new Unsynced();
    for (let n = 0; n < 12_445; n += 1) unsynced.add(`conf/${n}`, 'not reached in time');
    expect(unsynced.list).toHaveLength(101);
    expect(unsynced.list.at(-1)).toBe('… and 12,345 more');
    expect(unsynced.note).toContain('conf/0 (not reached in time)');
    expect(unsynced.note).toContain('12,442 more');
  });
});

describe('what is remembered', () => {
  it('a file in the state in which it was synced, unless it may have changed within a tick', async () => {
    await make(['a.conf']);
    const state = await stat(join(dir, 'a.conf'));
    const known = new Known();
    known.add(state);
    expect(known.has(state), 'changed a moment ago').toBe(false);
    const old = { dev: 1, ino: 2, size: 3, ctimeMs: Date.now() - 60_000.25 };
    known.add(old);
    expect(known.has(old)).toBe(true);
    const changes = [{ dev: 2 }, { ino: 3 }, { size: 4 }, { ctimeMs: old.ctimeMs + 0.25 }];
    for (const change of changes) expect(known.has({ ...old, ...change })).toBe(false);
    const future = { ...old, ctimeMs: Date.now() + 3_600_000 };
    known.add(future);
    expect(known.has(future), 'a clock that is ahead').toBe(false);
  });

  it('with hashes that differ for 50,000 files', () => {
    const hashes = new Set<number>();
    for (let ino = 0; ino < 50_000; ino += 1) {
      hashes.add(
        hashOf({ dev: 7, ino, size: ino % 3, ctimeMs: 1_700_000_000_000 + (ino % 1_000) }),
      );
    }
    expect(hashes.size).toBe(50_000);
  });
});

describe('descriptors', () => {
  it('are kept within their room, one for each file', async () => {
    await make(['a', 'b']);
    await link(join(dir, 'a'), join(dir, 'hard'));
    const kept = new Kept(1);
    for (const name of ['a', 'hard', 'b']) {
      const outcome = await syncFile(join(dir, name), false);
      if (outcome.type !== 'synced') throw new Error(outcome.type);
      kept.take(outcome.fd, name, outcome.info);
    }
    expect(kept.files.map(({ name }) => name)).toEqual(['a']);
    await expect.poll(openFiles).toEqual(['a']);
    kept.close();
    await expect.poll(openFiles).toEqual([]);
  });

  it('are opened for no pipe and no link, and closed at once for what is none', async () => {
    await tool('mkfifo', join(dir, 'pipe'));
    await symlink('pipe', join(dir, 'link'));
    for (const name of ['pipe', 'link', 'missing']) {
      expect(await syncFile(join(dir, name), false)).toEqual({ type: 'gone' });
    }
    expect(await openFiles()).toEqual([]);
  });
});

it('calls that hang keep their lanes over the end of their freeze', async () => {
  const lanes = new Lanes(2);
  let end = (): void => undefined;
  const hanging = lanes.run(() =>
    lanes.on('conf', () => new Promise<void>((done) => (end = done))),
  );
  expect([lanes.free, lanes.busy, lanes.isBusy('conf')]).toEqual([1, ['conf'], true]);
  end();
  await hanging;
  expect([lanes.free, lanes.busy]).toEqual([2, []]);
});

describe('an engine', () => {
  const calls = async (copy: FreezeContext['copy'], dataDir?: string) => {
    await make(['a.conf']);
    const engine = new ScriptedEngine();
    const sealing = new SealingEngine(engine, dataDir);
    const abort = new AbortController();
    await sealing.prepare({ ...context, copy }, abort.signal);
    const open = await openFiles();
    const hold = await sealing.hold({ ...context, copy }, abort.signal);
    return { engine, sealing, hold, open, abort };
  };

  it('keeps the descriptors until its hold is released, also after an abort that came too late', async () => {
    const { hold, open, abort } = await calls('snapshot', dir);
    expect(open).toContain('a.conf');
    abort.abort();
    expect(await openFiles()).toContain('a.conf');
    expect(hold.unsynced).toEqual([]);
    expect(await hold.check(never())).toEqual([]);
    expect(await hold.release(never())).toBeUndefined();
    await expect.poll(openFiles).toEqual([]);
  });

  it('opens nothing where files are copied through the page cache, or no volume is mounted', async () => {
    for (const { hold, open } of [await calls('files', dir), await calls('snapshot')]) {
      expect(open).toEqual([]);
      expect(hold).not.toHaveProperty('unsynced');
    }
  });

  it('whose freeze ends before its hold leaves no descriptor open', async () => {
    await make(['a.conf']);
    const engine = new ScriptedEngine();
    const sealing = new SealingEngine(engine, dir);
    const abort = new AbortController();
    await sealing.prepare(context, abort.signal);
    expect(await openFiles()).toContain('a.conf');
    abort.abort();
    await expect.poll(openFiles).toEqual([]);
    engine.onHold = async () => Promise.reject(new Error('refused'));
    await sealing.prepare(context, never());
    await expect(sealing.hold(context, never())).rejects.toThrow('refused');
    await expect.poll(openFiles).toEqual([]);
  });
});
