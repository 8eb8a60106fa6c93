import { readdir, readlink, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative as relativePath, resolve } from 'node:path';
import { isInside } from '../../../lib/paths.ts';
import { isForeign } from '../../shared/foreign-entries.ts';

export interface Refusal {
  readonly message: string;
  readonly hint: string;
}

export interface LayoutInput {
  /** QUIESCE_DATA_DIR. */
  readonly dataDir: string | undefined;
  /**
   * `data_directory`, a path in the server's own file system; `null` where the role may not read
   * it.
   */
  readonly reported: string | null;
  readonly systemIdentifier: string;
  readonly major: number;
  /** The segment where recovery would begin now. It must be visible in `pg_wal`. */
  readonly redoSegment: string;
  readonly tablespaces: readonly Tablespace[];
}

export interface Tablespace {
  readonly oid: string;
  readonly name: string;
  /** Absolute, or relative to PGDATA for an in-place tablespace. */
  readonly location: string;
}

export interface VolumeInput extends LayoutInput {
  readonly pgdata: string;
  readonly relative: string | null;
  /** Collects findings that are worth a note but not a refusal. */
  readonly notes: string[];
}

const HINT =
  'An atomic snapshot contains one volume: move this onto the volume of PGDATA. Or, with a backup tool other than Velero, give pg_wal a volume of its own, set QUIESCE_COPY=volumes, and cut in this order: the volumes of data and tablespaces while frozen, then thaw, then the volume of pg_wal.';

const HIDDEN_HINT =
  'Mount every volume of this server into the sidecar, at the same paths, and set QUIESCE_DATA_DIR.';

export function isRefusal(found: unknown): found is Refusal {
  return typeof found === 'object' && found !== null && 'hint' in found;
}

/**
 * Why one snapshot would not contain all of the data; `undefined` where it does. A part that is
 * elsewhere *in the server's own mounts* only looks empty from the sidecar, so this also looks for
 * what must be in it. Two volumes on one file system (folders of one disk) cannot be distinguished.
 */
export async function checkVolumes(input: VolumeInput): Promise<Refusal | undefined> {
  const { pgdata, dataDir } = input;
  const device = await deviceOf(dataDir ?? pgdata);
  const elsewhere = (what: string): Refusal => ({
    message: `${what} is on another volume than ${dataDir ?? 'PGDATA'}.`,
    hint: HINT,
  });
  if ((await deviceOf(pgdata)) !== device) return elsewhere(`PGDATA ${pgdata}`);
  const receiptDevice =
    dataDir === undefined ? undefined : await deviceOf(join(dataDir, '.quiesce'));
  if (receiptDevice !== undefined && receiptDevice !== device)
    return elsewhere(join(dataDir ?? '', '.quiesce'));
  return (
    (await checkWal(input, device, elsewhere)) ??
    (await checkFolders(input, device, elsewhere)) ??
    (await checkTablespaces(input, device, elsewhere))
  );
}

type Elsewhere = (what: string) => Refusal;

async function checkWal(
  input: VolumeInput,
  device: number | undefined,
  elsewhere: Elsewhere,
): Promise<Refusal | undefined> {
  const path = await findWal(input);
  if (isRefusal(path)) return path;
  return (await deviceOf(path)) === device ? undefined : elsewhere(`pg_wal (${path})`);
}

/**
 * `pg_wal` as seen from the sidecar, or a refusal where it is not the one that the server writes.
 */
export async function findWal(input: VolumeInput): Promise<string | Refusal> {
  const path = await resolveHere(input, join(input.pgdata, 'pg_wal'));
  const names = path === undefined ? undefined : await readdir(path).catch(() => undefined);
  if (path === undefined || names === undefined) {
    return {
      message: 'pg_wal cannot be seen from the sidecar, so its volume is unknown.',
      hint: HIDDEN_HINT,
    };
  }
  // The first eight digits are the timeline, which may have changed since.
  const oldest = input.redoSegment.slice(8);
  if (names.some((name) => /^[0-9A-F]{24}$/.test(name) && name.slice(8) >= oldest)) return path;
  return {
    message: `pg_wal (${path}) does not contain the WAL of the running server (${input.redoSegment} or later): the server has another volume mounted there.`,
    hint: HIDDEN_HINT,
  };
}

/** The folders in PGDATA without which a server does not start. `pg_wal` is checked separately. */
const DATA_FOLDER = /^(?:base|global|pg_(?!wal$|log$|stat_tmp$).*)$/;

/**
 * Checks the folders directly in PGDATA and in `base`. Single files on another volume are only
 * worth a note, and so are folders of logs, of configuration, or of statistics on a RAM disk.
 */
export async function checkFolders(
  input: VolumeInput,
  device: number | undefined,
  elsewhere: Elsewhere,
): Promise<Refusal | undefined> {
  const { pgdata, notes } = input;
  for (const folder of [pgdata, join(pgdata, 'base')]) {
    for (const name of await readdir(folder)) {
      if (isForeign(name)) continue;
      const path = join(folder, name);
      const info = await stat(path).catch(() => undefined);
      if (info === undefined) {
        const target = await readlink(path).catch(() => undefined);
        if (target !== undefined && name !== 'pg_wal') {
          notes.push(`${path} is a link to ${target}, which cannot be seen from the sidecar.`);
        }
      } else if (info.dev === device || name === 'pg_wal') {
        continue;
      } else if (info.isDirectory() && (folder !== pgdata || DATA_FOLDER.test(name))) {
        return elsewhere(path);
      } else {
        notes.push(`${path} is on another volume and not in a snapshot of this one.`);
      }
    }
  }
  return undefined;
}

async function checkTablespaces(
  input: VolumeInput,
  device: number | undefined,
  elsewhere: Elsewhere,
): Promise<Refusal | undefined> {
  for (const space of input.tablespaces) {
    const path = await findTablespace(input, space);
    if (isRefusal(path)) return path;
    if ((await deviceOf(path)) !== device) {
      return elsewhere(`Tablespace ${space.name} (${space.location})`);
    }
  }
  return undefined;
}

/**
 * The folder of a tablespace as seen from the sidecar, or a refusal where it is not the server's.
 */
export async function findTablespace(
  input: VolumeInput,
  { oid, name, location }: Tablespace,
): Promise<string | Refusal> {
  const path = isAbsolute(location)
    ? await resolveHere(input, join(input.pgdata, 'pg_tblspc', oid))
    : join(input.pgdata, location);
  const names = path === undefined ? [] : await readdir(path).catch(() => []);
  if (path !== undefined && names.some((entry) => entry.startsWith(`PG_${input.major}_`))) {
    return path;
  }
  return {
    message: `Tablespace ${name} (${location}) cannot be seen from the sidecar, so its volume is unknown.`,
    hint: HIDDEN_HINT,
  };
}

/**
 * The folder itself or, for a link, its target as seen from the sidecar. The target is a path of
 * the server's file system, where the volume may be mounted elsewhere.
 */
async function resolveHere(input: VolumeInput, path: string): Promise<string | undefined> {
  const target = await readlink(path).catch(() => undefined);
  if (target === undefined) return (await deviceOf(path)) === undefined ? undefined : path;
  const { dataDir, relative, reported } = input;
  const parent = relativePath(input.pgdata, dirname(path));
  const absolute = resolve(join(reported ?? input.pgdata, parent), target);
  const root = relative === null || reported === null ? undefined : mountRoot(reported, relative);
  if (dataDir !== undefined && root !== undefined && isInside(absolute, root)) {
    const mapped = join(dataDir, absolute.slice(root.length));
    if ((await deviceOf(mapped)) !== undefined) return mapped;
  }
  return (await deviceOf(absolute)) === undefined ? undefined : absolute;
}

/**
 * Where the server has the volume mounted: its PGDATA minus the path from the volume's root to it.
 */
function mountRoot(reported: string, relative: string): string | undefined {
  if (relative === '.') return reported;
  return reported.endsWith(`/${relative}`) ? reported.slice(0, -relative.length - 1) : undefined;
}

/** The device of a path, following links; `undefined` where the path cannot be seen. */
export async function deviceOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.dev;
}
