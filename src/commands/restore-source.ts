import { ObjectApi } from '../cluster/api/objects.ts';
import type { PodConnection } from '../cluster/api/reader.ts';
import { readBackup } from '../cluster/backup/read-backup.ts';
import { inventoryOfBackup } from '../cluster/plan/from-backup.ts';
import { planOf } from '../cluster/plan/plan.ts';
import type { RestoreSource } from '../cluster/restore/document.ts';
import { BackupSource } from '../cluster/restore/from-backup/source.ts';
import type { Source } from '../cluster/restore/source.ts';
import { QuiesceError } from '../errors.ts';
import type { Surface } from './verb.ts';

interface SourceOptions {
  readonly namespace: readonly string[];
  readonly 'velero-namespace': string;
}

/** How long reading a backup may take. */
const READ_MS = 300_000;

/** Where a restore takes its objects and volumes from. */
export async function sourceOf(
  connection: PodConnection,
  { kind, name }: Pick<RestoreSource, 'kind' | 'name'>,
  { namespace, 'velero-namespace': velero }: SourceOptions,
  { progress, signal }: Surface,
): Promise<Source> {
  if (kind !== 'backup') {
    throw new QuiesceError('RUN_NOT_FOUND', `The run was not made from a backup of Velero.`);
  }
  const choice = {
    name,
    namespace: velero,
    timeoutMs: READ_MS,
    progress: (sentence: string) => progress.say(sentence),
  };
  const { backup, objects } = await readBackup(connection, choice, signal);
  const { inventory, problems } = inventoryOfBackup(backup, objects, Date.now());
  const namespaces = namespace.length === 0 ? undefined : [...new Set(namespace)];
  const { plan } = planOf(inventory, { namespaces }, problems);
  return await BackupSource.of({ api: new ObjectApi(connection), velero, backup, objects, plan });
}
