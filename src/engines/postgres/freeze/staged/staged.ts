import { chown, lstat, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { QuiesceError } from '../../../../errors.ts';
import {
  describeErrno,
  isErrno,
  makeFolder,
  ownerLike,
  syncFolder,
  writeDurably,
} from '../../../../lib/durable-files.ts';
import type { RetryLater } from '../../../../lib/retry-later.ts';
import { VOLUME_FOLDER } from '../../../../receipt/volume.ts';
import type { Hold } from '../../../engine.ts';
import { beginBackup } from '../../backup/backup.ts';
import { tryKeepWal } from '../../backup/wal-slot.ts';
import { canShare, type Owner, Stager } from './copy.ts';
import { BASE, MANIFEST, removeStaging, stagingName, sweepStaging } from './folder.ts';
import { digest } from './manifest.ts';
import { keepAlive } from './keep-alive.ts';
import { sealStaged } from './seal.ts';
import type { Staging } from './staging.ts';
import { listSources } from './sources.ts';
import { Space } from './space.ts';
import { StagedHold } from './hold.ts';
import { type ModeInput, type PreparedFreeze, refuseLayout } from '../mode.ts';
import { planFreeze } from '../plan.ts';

/**
 * `copy: files`, a volume copied file by file: a base backup of our own in `.quiesce/`. Any copy of
 * it is good, because nothing in it changes during the hold. No writer waits for it, and nothing
 * stays open once it is made.
 *
 * The slow half copies the data. The freeze itself ends the backup and adds its WAL.
 */
export async function prepareStaged(
  input: ModeInput,
  signal: AbortSignal,
): Promise<PreparedFreeze> {
  const { session, context, server, layout } = input;
  const { pgdata, dataDir, owner } = await checkPrerequisites(input);
  const notes = [...layout.notes];
  await input.retry.finish();
  await sweepStaging(dataDir);
  const notKept = await tryKeepWal(session, context.ttlMs, signal);
  if (notKept !== null) notes.push(notKept);
  const folder = join(dataDir, VOLUME_FOLDER, stagingName(context.id));
  const alive = keepAlive(session, signal);
  try {
    const begun = await beginBackup(session, `quiesce ${context.id}`, signal);
    await makeStaging(dataDir, folder, owner);
    const probe = join(folder, BASE, 'PG_VERSION');
    const reflink = await canShare(join(pgdata, 'PG_VERSION'), probe);
    const space = new Space(dataDir, server.segmentSize);
    const stager = new Stager(pgdata, join(folder, BASE), { space, owner, reflink });
    const staging = { ...input, folder, pgdata, begun, stager, space, notes };
    notes.push(...(await copyData(staging, alive.signal)));
    return {
      hold: async (until) => {
        try {
          return await seal(staging, until);
        } catch (error) {
          throw asUnsupported(error);
        } finally {
          alive.stop();
        }
      },
      close: async () => {
        alive.stop();
        await session.close();
        await discard(folder, input.retry);
      },
    };
  } catch (error) {
    alive.stop();
    await discard(folder, input.retry);
    throw asUnsupported(error);
  }
}

/**
 * Checks, before anything begins, what a staged backup needs of the server, the volume and this
 * user.
 */
async function checkPrerequisites(
  input: ModeInput,
): Promise<{ pgdata: string; dataDir: string; owner: Owner | undefined }> {
  const { layout, dataDir, server, privileges } = input;
  if (dataDir === undefined || layout.pgdata === null || layout.relative === null) {
    throw unsupported(
      `A staged backup copies PGDATA through the sidecar's mount, and PGDATA is not visible there: ${layout.notes.join(' ') || 'QUIESCE_DATA_DIR is not set.'}`,
      'Mount the data volume into the sidecar and set QUIESCE_DATA_DIR to it; or use CSI snapshots and set QUIESCE_COPY=snapshot.',
    );
  }
  if (layout.refusal) throw refuseLayout(layout.refusal);
  const plan = planFreeze(server, privileges);
  if (plan.mode !== 'sealed') {
    throw unsupported(
      `A staged backup needs more than this server or role allows: ${plan.notes.join(' ')}`,
      'Run roles/postgres.sql as a superuser, and set wal_level to replica or logical.',
    );
  }
  const { uid, gid } = await stat(layout.pgdata);
  const self = process.getuid?.();
  if (self !== undefined && self !== 0 && self !== uid) {
    throw unsupported(
      `PGDATA ${layout.pgdata} belongs to user ${uid}, but the sidecar runs as user ${self}: the server could not read the staged files.`,
      `Run the sidecar as user ${uid} (runAsUser), as the server does.`,
    );
  }
  return { pgdata: layout.pgdata, dataDir, owner: self === 0 ? { uid, gid } : undefined };
}

async function makeStaging(
  dataDir: string,
  folder: string,
  owner: Owner | undefined,
): Promise<void> {
  const root = join(dataDir, VOLUME_FOLDER);
  const made = await makeFolder(root, 0o755);
  if (!(await lstat(root)).isDirectory()) {
    throw unsupported(`${root} is not a folder.`, 'Remove it.');
  }
  if (made && owner) await chown(root, owner.uid, owner.gid);
  // Never into an existing folder: the sweep has run, so what is left in it is not ours.
  for (const path of [folder, join(folder, BASE)]) {
    await mkdir(path, { mode: 0o700 });
    if (owner) await chown(path, owner.uid, owner.gid);
  }
  await syncFolder(root);
}

/** @returns sentences on what was left out. */
async function copyData(staging: Staging, signal: AbortSignal): Promise<string[]> {
  const { context, pgdata, stager, space, server } = staging;
  const sources = await listSources(pgdata);
  const { bytes } = sources;
  await space.require({ bytes, reflink: stager.reflink, segmentSize: server.segmentSize });
  const how = stager.reflink ? 'reflink' : 'bytes';
  let done = 0;
  stager.onBytes = (more) => {
    done = Math.min(done + more, bytes);
    context.progress(`staging ${gigabytes(done)} of ${gigabytes(bytes)} GB (${how})`);
  };
  await stager.copyAll(sources, signal);
  return sources.leftOut.map(
    (path) =>
      `${join(pgdata, path)} is not in the backup: it belongs to another user, and the server cannot read it.`,
  );
}

/**
 * The freeze itself. Rejects with nothing held. The caller then closes, which removes the staged
 * files.
 */
async function seal(staging: Staging, signal: AbortSignal): Promise<Hold> {
  const { session, folder, stager, context, layout } = staging;
  const sealed = await sealStaged(staging, signal);
  await stager.flush(signal);
  const manifest = stager.manifest(context.id);
  const text = `${JSON.stringify(manifest)}\n`;
  const owner = await ownerLike(join(folder, BASE));
  await writeDurably(join(folder, MANIFEST), text, { mode: 0o600, ...owner });
  signal.throwIfAborted();
  // The slot goes with the session: only files are held from here on.
  await session.close();
  signal.throwIfAborted();
  const staged = {
    folder: `${VOLUME_FOLDER}/${stagingName(context.id)}`,
    manifest: digest(text),
    files: manifest.files.length,
    bytes: manifest.files.reduce((sum, { size }) => sum + size, 0),
    reflink: stager.reflink,
  };
  const restore = { ...sealed.restore, dataDirectory: layout.relative, staged };
  return new StagedHold({ ...sealed, restore, folder, manifest, notes: staging.notes });
}

/** Never throws. Retries later what cannot be removed now; the next freeze sweeps it too. */
async function discard(folder: string, retry: RetryLater): Promise<void> {
  await removeStaging(folder).catch(() => retry.schedule(() => removeStaging(folder)));
}

function unsupported(message: string, hint: string): QuiesceError {
  return new QuiesceError('COPY_UNSUPPORTED', message, { hint, field: 'QUIESCE_COPY' });
}

/** Turns an error of the volume, or of the rights on it, into one with the path and a hint. */
function asUnsupported(error: unknown): unknown {
  const codes = ['EACCES', 'EPERM', 'ENOSPC', 'EDQUOT', 'EROFS', 'EEXIST'];
  if (!codes.some((code) => isErrno(error, code))) return error;
  const path = (error as NodeJS.ErrnoException).path ?? 'The volume';
  return unsupported(
    `A backup cannot be staged on the volume: ${path}: ${describeErrno(error)}.`,
    'The sidecar must be able to read PGDATA and to write to the volume, and it must have space.',
  );
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(bytes < 1e8 ? 3 : 1);
}
