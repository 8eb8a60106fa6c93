import {
  appendFile,
  chmod,
  chown,
  link,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Breach, FreezeContext, OwnFiles } from '../../src/engines/engine.ts';
import { Kept } from '../../src/engines/shared/seal/kept.ts';
import { type Seal, Sealer } from '../../src/engines/shared/seal/seal.ts';
import { syncFile } from '../../src/engines/shared/seal/sync-file.ts';
import { SealingEngine } from '../../src/engines/sealing.ts';
import { tool } from '../../src/testbed/os.ts';
import { ScriptedEngine } from '../support/scripted-engine.ts';
import { makeFiles, makeVolumeFolder, SEAL_CONTEXT as context } from '../support/seal.ts';

const OTHER = 65_534;
const nothing: OwnFiles = async () => false;
const never = (): AbortSignal => new AbortController().signal;

let dir: string;
const undo: (() => unknown)[] = [];
beforeEach(async () => {
  const volume = await makeVolumeFolder();
  ({ dir } = volume);
  undo.push(() => volume.remove());
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const make = (files: readonly string[]): Promise<void> => makeFiles(dir, files);

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

describe('the looks', () => {
  it('no data directory: nothing, and no failure', async () => {
    await rm(dir, { recursive: true });
    const seal = await begun();
    await seal.first();
    await seal.again();
    expect(seal.unsynced).toEqual([]);
  });

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
