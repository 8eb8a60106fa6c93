import { DRILLS_KEPT } from '../../defaults.ts';
import { CONFIG_MAPS, each, type ObjectApi } from '../api/objects.ts';
import { type KubeObject, labelsOf } from '../objects/kube-object.ts';
import type { DrillRun } from '../restore/document.ts';
import { storedRecovery } from '../restore/report/stored.ts';
import { recordRecovery } from '../restore/record.ts';
import { remove } from '../restore/volumes/remove.ts';
import { RUN_LABELS } from '../run/names.ts';
import { superfluous } from '../snapshot/reports.ts';

/** The records of drills. */
export async function drillRecords(
  api: ObjectApi,
  namespaces: readonly string[] | undefined,
  labels: Readonly<Record<string, string>>,
): Promise<readonly KubeObject[]> {
  const all = { [RUN_LABELS.report]: 'drill', ...labels };
  const text = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  return await api.listIn(CONFIG_MAPS, namespaces, text.join(','));
}

/** Writes the record, and lets old ones go: the last proven one always stays. */
export async function record(api: ObjectApi, home: string, run: DrillRun): Promise<void> {
  await recordRecovery(api, home, run);
  if (run.verdict === undefined) return;
  const records = await drillRecords(api, [home], { [RUN_LABELS.group]: run.group });
  await each(superfluous(records, DRILLS_KEPT), (one) => remove(api, CONFIG_MAPS, one));
}

/** A drill whose verb died: its record says that it is under way. */
export interface DeadDrill {
  readonly id: string;
  readonly record: KubeObject;
}

/** Drills whose verb died. Only who holds the Lease of the application may call them dead. */
export async function deadDrills(
  api: ObjectApi,
  home: string,
  group: string,
): Promise<readonly DeadDrill[]> {
  const pending = await drillRecords(api, [home], {
    [RUN_LABELS.group]: group,
    [RUN_LABELS.verdict]: 'pending',
  });
  return pending.map((record) => ({ id: labelsOf(record)[RUN_LABELS.run] ?? '', record }));
}

/**
 * Ends the records of dead drills. To be called once what they left is gone: until then the record is what
 * the next drill finds it by, also if this one is killed.
 */
export async function endDead(
  api: ObjectApi,
  home: string,
  dead: readonly DeadDrill[],
): Promise<void> {
  await each(dead, async ({ record: one }) => {
    const run = storedRecovery(one);
    if (typeof run === 'string' || run.kind !== 'DrillRun') {
      await remove(api, CONFIG_MAPS, one);
      return;
    }
    const problem = {
      code: 'RUN_NOT_RECORDED',
      message:
        'This drill ended before its result was recorded. A later one has removed what it left.',
    };
    const problems = [...run.problems, problem];
    await recordRecovery(api, home, { ...run, verdict: 'failed', problems });
  });
}
