import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { EmbeddedPostgres } from '../../../src/testbed/postgres/server.ts';
import { tool } from '../../../src/testbed/os.ts';
import type { Receipt } from '../../../src/receipt/receipt.ts';
import type { PostgresRestore } from '../../../src/engines/postgres/receipt.ts';
import { atomicCopy, clone } from '../../support/copies.ts';
import type { Copy, DatabaseOptions, FaultMode, RestoreOptions, Restored } from '../engine.ts';
import { type Committed, PostgresDatabase } from './database.ts';
import { prepare } from '../copies.ts';
import { primaryOn, sealed } from './sealed.ts';

/** A little longer than WAL is kept after a thaw. */
const KEPT_MS = 65_000;

/**
 * `copy: volumes`: data on one volume, pg_wal on another; a backup stays open from freeze to thaw.
 * The data is cut during the hold, the WAL after the thaw.
 */
export const open: FaultMode = {
  freezeSteps: ['slot asked', 'backup start asked', 'backup started'],
  thawSteps: [
    'check asked',
    'check answered',
    'marker asked',
    'marker written',
    'backup stop asked',
    'backup stopped',
  ],
  evidenceSteps: {},
  faults: sealed.faults,
  // The backup ends with its session.
  endsHold: [...sealed.endsHold, 'end-backend', 'net-reset'],
  stallsWriters: sealed.stallsWriters,
  timeoutsMs: sealed.timeoutsMs,
  blocksWriters: false,
  holdsUntil: 'thaw',
  make: async (options) => {
    const wal = await makeVolumeBeside(options);
    const server = await primaryOn(options, [`--waldir=${join(wal, 'pg_wal')}`]);
    await server.own(wal);
    return new OpenDatabase(options, server, wal);
  },
};

/** A second volume. A subvolume has its own device number, and so does /dev/shm. */
async function makeVolumeBeside({ volume }: DatabaseOptions): Promise<string> {
  if (volume.kind !== 'btrfs') return await mkdtemp('/dev/shm/quiesce-');
  const wal = join(dirname(volume.path), 'wal');
  await tool('btrfs', 'subvolume', 'create', wal);
  return wal;
}

class OpenDatabase extends PostgresDatabase {
  protected readonly settings = { QUIESCE_COPY: 'volumes' };
  readonly #wal: string;
  #keptUntil = 0;

  constructor(options: DatabaseOptions, server: EmbeddedPostgres, wal: string) {
    super(options, server);
    this.#wal = wal;
  }

  async cut(name: string): Promise<Copy> {
    const copy = await this.options.volume.snapshot(name);
    await this.flush(this.server);
    return copy;
  }

  async complete({ path }: Copy): Promise<void> {
    const to = `${path}-wal`;
    const { server } = this;
    if (this.options.volume.kind === 'btrfs') {
      await tool('btrfs', 'subvolume', 'snapshot', this.#wal, to);
    } else if (server.pid === undefined) {
      await clone(this.#wal, to);
    } else {
      await atomicCopy({ server, volume: this.#wal }, to);
    }
  }

  async restore({ path }: Copy, { acknowledged, receipt }: RestoreOptions): Promise<Restored> {
    const wal = join(path, 'pgdata/pg_wal');
    await rm(wal);
    const there = await mountBeside(wal, `${path}-wal/pg_wal`);
    if (!there) return { refused: 'the volume of its WAL was not copied' };
    const refused = await prepare(path, ...(await this.#receipt(receipt)));
    if (refused !== undefined) return { refused };
    return await this.examine({ path }, (acknowledged as Committed | undefined)?.acked);
  }

  /** Writes the output of thaw to a file, as a user keeps it. */
  async #receipt(receipt: Receipt | undefined): Promise<string[]> {
    if (!receipt) return [];
    const folder = join(this.options.dir, 'receipts');
    await mkdir(folder, { recursive: true });
    const file = join(folder, `${receipt.id}.json`);
    await writeFile(file, JSON.stringify(receipt));
    return ['--receipt', file];
  }

  override async drop(copy: Copy): Promise<void> {
    await super.drop(copy);
    await super.drop({ path: `${copy.path}-wal` }).catch(() => undefined);
  }

  override async close(): Promise<void> {
    await super.close();
    await rm(this.#wal, { recursive: true, force: true });
  }

  protected override keeps(ended: readonly Receipt[]): boolean {
    const now = performance.now();
    const kept = ended.some((receipt) => keptUntil(receipt) !== undefined);
    if (kept) this.#keptUntil = now + KEPT_MS;
    return now < this.#keptUntil;
  }
}

/** When WAL is no longer kept by the receipt, on a clock that may jump. */
function keptUntil({ restore }: Receipt): string | undefined {
  return (restore as Partial<PostgresRestore> | null)?.wal?.keptUntil;
}

async function mountBeside(link: string, target: string): Promise<boolean> {
  await symlink(target, link);
  return await tool('test', '-d', target).then(
    () => true,
    () => false,
  );
}
