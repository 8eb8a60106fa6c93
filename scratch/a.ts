import { mkdtemp } from 'node:fs/promises';
import { frozenUnderLoad, startSource, clone } from '../test/support/copies.ts';
import { prepareRestore } from '../src/restore/prepare-restore.ts';
import { loadRestore } from '../src/engines/index.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { join } from 'node:path';
for (const major of (process.env.M ?? '17').split(',').map(Number)) {
const dir = await makeTempDir();
const source = await startSource(major);
await source.admin.query(`ALTER SYSTEM SET wal_keep_size = '256MB'`); await source.admin.query('SELECT pg_reload_conf()');
try {
  const f = await frozenUnderLoad(source, 'b1', join(dir, 'frozen'));
  await clone(f.copy.volume, `/tmp/b/frozen-${major}`).catch(() => 0);
  const t = performance.now();
  const out = await prepareRestore({ dataDir: f.copy.volume, dryRun: true, load: loadRestore }, new AbortController().signal).catch((e) => e);
  console.log(major, performance.now() - t, out);
} finally { await source.stop(); }
}
process.exit(0);
