import { QuiesceError } from '../../../errors.ts';
import { ObjectApi } from '../../api/objects.ts';
import { forbidden } from '../../api/rights.ts';
import type { PodConnection } from '../../api/reader.ts';
import { readBackup } from '../../backup/read-backup.ts';
import type { Inventory } from '../../inventory/catalog.ts';
import type { KubeObject } from '../../objects/kube-object.ts';
import { readApplication } from '../../inventory/read-application.ts';
import { readInventory } from '../../inventory/read-manifests.ts';
import { resourceName } from '../../inventory/resources.ts';
import { KNOWN } from '../../plan/custom-resources.ts';
import { inventoryOfBackup } from '../../plan/from-backup.ts';
import { namespacesNamed } from '../../plan/references.ts';
import { refuseUnread } from '../../snapshot/unread.ts';
import { NAMESPACES } from '../namespaces.ts';
import { BESIDE_MEMBERS, OBJECT_RESOURCES } from '../objects/kinds.ts';

/** What describes the application. */
export type ObjectsFrom =
  | { readonly kind: 'live' }
  | { readonly kind: 'manifests'; readonly paths: readonly string[] }
  | { readonly kind: 'backup'; readonly name: string; readonly velero: string };

export interface Reading {
  /** Of the source. */
  readonly namespaces: readonly string[];
  readonly timeoutMs: number;
  readonly progress: (sentence: string) => void;
}

/**
 * @throws QuiesceError OBJECTS_MISSING, FORBIDDEN, CLUSTER_UNREACHABLE, MANIFEST_INVALID, and those of a
 * backup
 */
export async function objectsFrom(
  connection: PodConnection,
  from: ObjectsFrom,
  reading: Reading,
  signal: AbortSignal,
): Promise<Inventory> {
  const { namespaces, timeoutMs, progress } = reading;
  const now = Date.now();
  switch (from.kind) {
    case 'live':
      return await readLive(connection, reading, now);
    case 'manifests': {
      const read = await readInventory(from.paths, { whole: false, namespaces: undefined, now });
      return { ...read, objects: placed(read.objects, namespaces) };
    }
    case 'backup': {
      const choice = {
        name: from.name,
        namespace: from.velero,
        timeoutMs,
        progress,
        secrets: true,
      };
      const { backup, objects } = await readBackup(connection, choice, signal);
      return inventoryOfBackup(backup, objects, now).inventory;
    }
  }
}

/** Manifests that name no namespace are of the one that the run is of, if it is of one only. */
function placed(objects: readonly KubeObject[], namespaces: readonly string[]): KubeObject[] {
  const [only, ...others] = namespaces;
  return objects.map((one) =>
    one.metadata?.namespace !== undefined || only === undefined || others.length > 0
      ? one
      : { ...one, metadata: { ...one.metadata, namespace: only } },
  );
}

async function readLive(
  connection: PodConnection,
  { namespaces, progress }: Reading,
  now: number,
): Promise<Inventory> {
  const api = new ObjectApi(connection);
  for (const name of namespaces) {
    const found = await api.get(NAMESPACES, undefined, name);
    if (found !== undefined && found.metadata?.deletionTimestamp === undefined) continue;
    const why = found === undefined ? 'is gone' : 'is being deleted';
    const text = `The namespace ${name} ${why}, so nothing there says what the application is made of.`;
    throw new QuiesceError('OBJECTS_MISSING', text);
  }
  progress('reading the objects of the application');
  const inventory = await readApplication(connection, {
    namespaces,
    resources: OBJECT_RESOURCES,
    custom: [...KNOWN, ...BESIDE_MEMBERS],
    alsoIn: namespacesNamed,
    now,
    progress,
  });
  refuseUnread(inventory, namespaces);
  refuseUnreadObjects(inventory, namespaces);
  return inventory;
}

/** A copy without what could not be read would not be the application. */
function refuseUnreadObjects({ unexamined }: Inventory, namespaces: readonly string[]): void {
  const own = new Set(
    OBJECT_RESOURCES.filter(({ namespaced }) => namespaced).map((one) => resourceName(one)),
  );
  const missing = unexamined.filter(
    ({ resource, namespace }) =>
      own.has(resource) && (namespace === undefined || namespaces.includes(namespace)),
  );
  const [first] = missing;
  if (first === undefined) return;
  const rights = missing.map(({ resource, namespace }) => {
    const [plural = '', ...group] = resource.split('.');
    const place = namespace === undefined ? {} : { namespace };
    return { verb: 'list', group: group.join('.'), resource: plural, ...place };
  });
  throw forbidden(rights, first.reason, rights, 'quiesce-restore');
}
