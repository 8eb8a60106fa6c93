import { isAbsolute } from 'node:path';
import type { VolumeCut } from '../../receipt.ts';
import {
  checkFolders,
  deviceOf,
  findTablespace,
  findWal,
  isRefusal,
  type Refusal,
  type VolumeInput,
} from '../../data-dir/volumes.ts';

/** One part of the data and the device it is on. */
export interface DataPart {
  /** `data`, `wal`, `tablespace:NAME`. */
  readonly name: string;
  /** As seen from the sidecar. */
  readonly path: string;
  readonly device: number | undefined;
}

/** What each volume contains, in the order in which the volumes must be cut. */
export interface CutPlan {
  readonly volumes: readonly VolumeCut[];
  /** Folders of the tablespaces that are links, as seen from the sidecar. */
  readonly tablespaces: readonly string[];
}

const ORDER =
  'The order is: the volumes of data and tablespaces while frozen, then thaw, then the volume of pg_wal.';

/** Finds every part of the data. Refuses where one cannot be seen. */
async function findDataParts(input: VolumeInput): Promise<DataPart[] | Refusal> {
  const { pgdata, dataDir } = input;
  const device = await deviceOf(dataDir ?? pgdata);
  const elsewhere = (what: string): Refusal => ({
    message: `${what} is on another volume than ${dataDir ?? 'PGDATA'}, and nothing would show when that volume was cut.`,
    hint: 'Only pg_wal and tablespaces may have their own volumes.',
  });
  if ((await deviceOf(pgdata)) !== device) return elsewhere(`PGDATA ${pgdata}`);
  const folder = await checkFolders(input, device, elsewhere);
  if (folder) return folder;
  const wal = await findWal(input);
  if (isRefusal(wal)) return wal;
  const parts: DataPart[] = [
    { name: 'data', path: pgdata, device },
    { name: 'wal', path: wal, device: await deviceOf(wal) },
  ];
  for (const space of input.tablespaces) {
    const path = await findTablespace(input, space);
    if (isRefusal(path)) return path;
    parts.push({ name: `tablespace:${space.name}`, path, device: await deviceOf(path) });
  }
  return parts;
}

/**
 * The order of the cuts for `copy: volumes`. WAL must be cut after the thaw, because it has to
 * reach the end of the backup, and everything else before. A volume that contains both cannot be
 * cut correctly.
 */
export async function planCuts(input: VolumeInput): Promise<CutPlan | Refusal> {
  const parts = await findDataParts(input);
  if (isRefusal(parts)) return parts;
  const wal = parts.find(({ name }) => name === 'wal');
  const others = parts.filter((part) => part !== wal);
  const shared = others.filter(({ device }) => device === wal?.device);
  if (wal === undefined || shared.length > 0) return refuseShared(others, shared);
  const devices = [...new Set(others.map(({ device }) => device))];
  const volumes = devices.map((device) =>
    volumeOf(
      others.filter((part) => part.device === device),
      'while-frozen',
    ),
  );
  const links = input.tablespaces.filter(({ location }) => isAbsolute(location));
  const tablespaces = links.flatMap(({ name }) =>
    others.filter((part) => part.name === `tablespace:${name}`).map(({ path }) => path),
  );
  return { volumes: [...volumes, volumeOf([wal], 'after-thaw')], tablespaces };
}

function refuseShared(others: readonly DataPart[], shared: readonly DataPart[]): Refusal {
  const names = shared.map(({ name }) => name).join(' and ');
  if (shared.length === others.length) {
    return {
      message: `All of the data, including pg_wal, is on one volume, which would have to be cut while frozen and again after the thaw. ${ORDER}`,
      hint: 'Set QUIESCE_COPY=snapshot: one atomic snapshot of one volume.',
    };
  }
  return {
    message: `pg_wal is on the same volume as ${names}, so WAL cannot be cut after the thaw without cutting ${names} then too. ${ORDER}`,
    hint: 'Give pg_wal its own volume, or keep everything on one volume and set QUIESCE_COPY=snapshot.',
  };
}

function volumeOf(on: readonly DataPart[], cut: VolumeCut['cut']): VolumeCut {
  return { holds: on.map(({ name }) => name), paths: on.map(({ path }) => path), cut };
}

/** `restore.order` of the receipt. */
export function orderOf({ volumes }: CutPlan): ('thaw' | string[])[] {
  const on = (cut: VolumeCut['cut']): string[] =>
    volumes.filter((volume) => volume.cut === cut).flatMap(({ holds }) => holds);
  return [on('while-frozen'), 'thaw', on('after-thaw')];
}

/** The order as a sentence. */
export function orderSentence({ volumes }: CutPlan): string {
  const list = (cut: VolumeCut['cut']): string =>
    volumes
      .filter((volume) => volume.cut === cut)
      .map(({ holds, paths }) => `${holds.join(' + ')} (${paths.join(', ')})`)
      .join(' and ');
  return `Cut now, in any order, each atomically: ${list('while-frozen')}. Then thaw. Only then cut: ${list('after-thaw')}. A restore needs the receipt that the thaw prints.`;
}
