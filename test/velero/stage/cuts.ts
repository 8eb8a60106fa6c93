import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VOLUMES } from '../layout.ts';
import type { Ended } from './velero.ts';

/** When the CSI driver began the first cut of a backup; `null` if it cut nothing. */
export async function firstCut({ startedAt, tookMs }: Ended): Promise<Date | null> {
  const folder = join(VOLUMES, 'snapshots');
  const [from, to] = [startedAt.getTime(), startedAt.getTime() + tookMs];
  const cuts: number[] = [];
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.json')) continue;
    const snapshot = JSON.parse(await readFile(join(folder, name), 'utf8')) as { CutFrom: string };
    const at = Date.parse(snapshot.CutFrom);
    if (at >= from && at <= to) cuts.push(at);
  }
  return cuts.length === 0 ? null : new Date(Math.min(...cuts));
}
