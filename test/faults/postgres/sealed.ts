import { EmbeddedPostgres, freePort } from '../../../src/testbed/postgres/server.ts';
import { join } from 'node:path';
import type { Copy, DatabaseOptions, FaultMode, RestoreOptions, Restored } from '../engine.ts';
import { type Committed, PostgresDatabase, SETTINGS } from './database.ts';
import { prepare } from '../copies.ts';

const SERVER_ENDS = ['kill-backend', 'kill-server', 'stop-server'];

/** `copy: snapshot`: one volume, cut atomically while nothing is held open. */
export const sealed: FaultMode = {
  freezeSteps: [
    'slot asked',
    'backup start asked',
    'backup started',
    'backup stop asked',
    'backup stopped',
    'label written',
    'marker asked',
    'marker written',
  ],
  thawSteps: ['check asked', 'check answered'],
  evidenceSteps: { 'postgres.backup_label': 'label written' },
  faults: ['kill-backend', 'end-backend', 'pause-backend'],
  endsHold: ['kill-sidecar', 'term-sidecar', ...SERVER_ENDS],
  stallsWriters: [...SERVER_ENDS, 'pause-server', 'pause-backend', 'volume-full'],
  timeoutsMs: [1_000, 8_000, 8_000],
  blocksWriters: false,
  holdsUntil: 'freeze',
  make: async (options) => new SealedDatabase(options, await primaryOn(options)),
};

class SealedDatabase extends PostgresDatabase {
  protected readonly settings = { QUIESCE_COPY: 'snapshot' };

  cut(name: string): Promise<Copy> {
    return this.options.volume.snapshot(name);
  }

  async restore(copy: Copy, { acknowledged }: RestoreOptions): Promise<Restored> {
    const refused = await prepare(copy.path);
    if (refused !== undefined) return { refused };
    return await this.examine(copy, (acknowledged as Committed | undefined)?.acked);
  }
}

/** A server whose PGDATA will be on the volume. */
export async function primaryOn(
  { dir, version, volume }: DatabaseOptions,
  initdbArgs: readonly string[] = [],
): Promise<EmbeddedPostgres> {
  return await EmbeddedPostgres.at({
    major: Number(version),
    dataDir: join(volume.path, 'pgdata'),
    port: await freePort(),
    socketDir: join(dir, 's'),
    logFile: join(dir, 'server.log'),
    settings: SETTINGS,
    initdbArgs,
  });
}
