import { ObjectApi } from '../cluster/api/objects.ts';
import type { PodConnection } from '../cluster/api/reader.ts';
import { readBackup } from '../cluster/backup/read-backup.ts';
import { inventoryOfBackup } from '../cluster/plan/from-backup.ts';
import { planOf } from '../cluster/plan/plan.ts';
import type { RestoreSource } from '../cluster/restore/document.ts';
import { BackupSource } from '../cluster/restore/from-backup/source.ts';
import type { ObjectsFrom } from '../cluster/restore/from-snapshot/objects-from.ts';
import { readSnapshotSource } from '../cluster/restore/from-snapshot/read.ts';
import type { Source } from '../cluster/restore/source.ts';
import { QuiesceError } from '../errors.ts';
import type { RestoreFlags } from './restore-flags.ts';
import type { Surface } from './verb.ts';

/** How long reading a backup or an application may take. */
const READ_MS = 300_000;

/** What the source is, from the command line or from the record of a run that goes on. */
export type SourceChoice = Pick<RestoreSource, 'kind' | 'name' | 'snapshot'>;

/** Where a restore takes its objects and volumes from. */
export async function sourceOf(
  connection: PodConnection,
  choice: SourceChoice,
  options: RestoreFlags,
  surface: Surface,
): Promise<Source> {
  const { progress, signal } = surface;
  if (choice.kind === 'backup') return await fromBackup(connection, choice.name, options, surface);
  const { namespace, group, selector } = options;
  const namespaces = namespace.length === 0 ? [connection.namespace] : [...new Set(namespace)];
  const told = choice.snapshot;
  return await readSnapshotSource(
    connection,
    {
      run: choice.name,
      selection: { namespaces, group, selector },
      objects: objectsOf(choice, options),
      storageClasses: new Map([
        ...Object.entries(told?.storageClasses ?? {}),
        ...options['storage-class-map'].map(pairOf),
      ]),
      withIngress: told?.withIngress ?? options['with-ingress'],
      replace: told?.inPlace ?? options.replace,
      timeoutMs: READ_MS,
      progress: (sentence) => progress.say(sentence),
    },
    signal,
  );
}

async function fromBackup(
  connection: PodConnection,
  name: string,
  { namespace, 'velero-namespace': velero }: RestoreFlags,
  { progress, signal }: Surface,
): Promise<Source> {
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

/** The command line counts before the record: files may have been moved meanwhile. */
function objectsOf({ snapshot: told }: SourceChoice, options: RestoreFlags): ObjectsFrom {
  const { file, 'objects-from-backup': named, 'velero-namespace': velero } = options;
  if (file.length > 0) return { kind: 'manifests', paths: file };
  if (named !== undefined) return { kind: 'backup', name: named, velero };
  const from = told?.from ?? [];
  if (told?.objects === 'backup') return { kind: 'backup', name: from[0] ?? '', velero };
  if (told?.objects !== 'manifests') return { kind: 'live' };
  if (from.includes('-')) {
    const text = 'The manifests came from standard input, and are gone: give them again with -f.';
    throw new QuiesceError('USAGE', text);
  }
  return { kind: 'manifests', paths: from };
}

/** `OLD:NEW`. Without OLD it is the class of claims of which none is known. */
function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf(':');
  return [text.slice(0, at), text.slice(at + 1)];
}
