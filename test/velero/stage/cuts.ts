import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tools } from '../kubectl.ts';
import { VOLUMES } from '../layout.ts';
import type { Ended } from './velero.ts';

/** When the CSI driver cut a snapshot, by the node's clock. */
export interface Cut {
  readonly from: Date;
  readonly to: Date;
  /** The volume group whose snapshots were cut at one moment. */
  readonly group: string | null;
}

/** The newest snapshot of a claim's volume, from what the CSI driver has written down. */
export async function newestCut(tools: Tools, namespace: string, claim: string): Promise<Cut> {
  const { spec } = await tools.get<{ spec: { volumeName: string } }>('pvc', claim, '-n', namespace);
  const volume = await tools.get<{ spec: { csi: { volumeHandle: string } } }>(
    'pv',
    spec.volumeName,
  );
  const { volumeHandle } = volume.spec.csi;
  const found = (await snapshots())
    .filter(({ Source }) => Source === volumeHandle)
    .toSorted((a, b) => Date.parse(b.CutFrom) - Date.parse(a.CutFrom))[0];
  if (found === undefined) throw new Error(`${namespace}/${claim} has no snapshot`);
  const { CutFrom, CutTo, Group } = found;
  return { from: new Date(CutFrom), to: new Date(CutTo), group: Group === '' ? null : Group };
}

/** When the CSI driver began the first cut of a backup; `null` if it cut nothing. */
export async function firstCut({ startedAt, tookMs }: Ended): Promise<Date | null> {
  const [from, to] = [startedAt.getTime(), startedAt.getTime() + tookMs];
  const cuts = (await snapshots())
    .map(({ CutFrom }) => Date.parse(CutFrom))
    .filter((at) => at >= from && at <= to);
  return cuts.length === 0 ? null : new Date(Math.min(...cuts));
}

interface Written {
  readonly Source: string;
  readonly Group: string;
  readonly CutFrom: string;
  readonly CutTo: string;
}

async function snapshots(): Promise<readonly Written[]> {
  const folder = join(VOLUMES, 'snapshots');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json'));
  return await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as Written),
  );
}
