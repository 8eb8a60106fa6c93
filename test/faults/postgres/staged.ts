import { existsSync, type FSWatcher, watch } from 'node:fs';
import { chmod, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { copyFileByFile } from '../../support/file-copy.ts';
import type { Copy, FaultMode, RestoreOptions, Restored } from '../engine.ts';
import { type Committed, PostgresDatabase } from './database.ts';
import { prepare } from '../copies.ts';
import { primaryOn, sealed } from './sealed.ts';

/**
 * `copy: files`: the volume is copied file by file, in random order, while the server writes to it;
 * what counts in the copy is the backup staged in `.quiesce/`.
 */
export const staged: FaultMode = {
  freezeSteps: [
    'slot asked',
    'backup start asked',
    'backup started',
    'staging begun',
    'backup stop asked',
    'backup stopped',
    'marker asked',
    'marker written',
    'manifest written',
  ],
  thawSteps: ['staging removed'],
  evidenceSteps: {},
  faults: sealed.faults,
  // Once the backup is staged, nothing that happens to the server matters.
  endsHold: ['kill-sidecar', 'term-sidecar'],
  stallsWriters: sealed.stallsWriters,
  timeoutsMs: [2_000, 15_000, 15_000],
  blocksWriters: false,
  holdsUntil: 'freeze',
  make: async (options) => new StagedDatabase(options, await primaryOn(options)),
};

class StagedDatabase extends PostgresDatabase {
  protected readonly settings = { QUIESCE_COPY: 'files' };
  readonly #watchers: FSWatcher[] = [];

  protected override follow(): Promise<void> {
    const evidence = join(this.options.volume.path, '.quiesce');
    this.#watchers.push(watch(evidence, (_, name) => this.#changed(join(evidence, name ?? ''))));
    return Promise.resolve();
  }

  #changed(path: string): void {
    if (!/\/f\d+-\d+[^/.]*$/.test(path)) return;
    const { step } = this.options;
    if (!existsSync(path)) return step('staging removed');
    step('staging begun');
    const watcher = watch(path, (_, name) => {
      if (name === 'manifest.json' && existsSync(join(path, name))) step('manifest written');
    });
    watcher.on('error', () => undefined);
    this.#watchers.push(watcher);
  }

  async cut(name: string): Promise<Copy> {
    const { path } = this.options.volume;
    const copy = join(dirname(path), name);
    const seed = Number(name.replaceAll(/\D/g, ''));
    await copyFileByFile(path, copy, { between: () => this.flush(this.server), seed });
    return { path: copy };
  }

  async restore(copy: Copy, { acknowledged }: RestoreOptions): Promise<Restored> {
    await this.#writeAnew(copy.path);
    const refused = await prepare(copy.path);
    if (refused !== undefined) return { refused };
    return await this.examine(copy, (acknowledged as Committed | undefined)?.acked);
  }

  /**
   * Waits as long as the restore of a file-system backup takes, which comes at least a second after the
   * copy: prepare-restore uses file times to distinguish a restart during the copy from a start on it.
   */
  async #writeAnew(copy: string): Promise<void> {
    await sleep(1_000);
    const evidence = join(copy, '.quiesce');
    for (const name of await readdir(evidence).catch(() => [])) {
      const manifest = join(evidence, name, 'manifest.json');
      if (existsSync(manifest)) await chmod(manifest, (await stat(manifest)).mode);
    }
  }

  override async drop({ path }: Copy): Promise<void> {
    await rm(path, { recursive: true, force: true });
  }

  override async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.close();
    await super.close();
  }
}
