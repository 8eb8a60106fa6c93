import type { Inventory, Unexamined } from '../inventory/catalog.ts';
import { at, type KubeObject, listAt, refText, textAt, textsAt } from '../objects/kube-object.ts';
import type { PlanProblem } from './document.ts';
import { namespacesNamed } from './references.ts';

/** Kinds that a backup of namespaces holds only where another object needs them. */
const PLATFORM = [
  { resource: 'storageclasses.storage.k8s.io', kind: 'StorageClass' },
  { resource: 'volumesnapshotclasses.snapshot.storage.k8s.io', kind: 'VolumeSnapshotClass' },
  { resource: 'persistentvolumes', kind: 'PersistentVolume' },
];
const FILTERS = [
  'includedResources',
  'excludedResources',
  'includedNamespaceScopedResources',
  'excludedNamespaceScopedResources',
  'orLabelSelectors',
];

export interface BackupReading {
  readonly inventory: Inventory;
  readonly problems: readonly PlanProblem[];
}

/** The objects of a backup as everything there is in the namespaces that it holds. */
export function inventoryOfBackup(
  backup: KubeObject,
  objects: readonly KubeObject[],
  now: number,
): BackupReading {
  const spec = backup['spec'];
  const held = new Set(objects.flatMap(({ metadata }) => metadata?.namespace ?? []));
  const elsewhere = namespacesNamed(objects).filter((one) => !held.has(one));
  const absent = PLATFORM.filter(({ kind }) => objects.every((one) => one.kind !== kind));
  const unexamined: readonly Unexamined[] = [
    ...absent.map(({ resource }) => unread(resource)),
    // What it leaves out by kind or label may have any of the names.
    ...(isFiltered(spec) ? [unread('services')] : []),
    ...elsewhere.map((namespace) => unread('services', namespace)),
  ];
  return {
    inventory: {
      objects: [...objects, settingsOf(backup)],
      scope: 'cluster',
      unexamined,
      now,
    },
    problems: partlyFailed(backup),
  };
}

function unread(resource: string, namespace?: string): Unexamined {
  const reason = 'the backup does not hold it';
  const one = { resource, reason, optional: true, expected: true } as const;
  return namespace === undefined ? one : { ...one, namespace };
}

function isFiltered(spec: unknown): boolean {
  const narrow = FILTERS.some((field) => listAt(spec, field).some((one) => one !== '*'));
  const selector = at(spec, 'labelSelector');
  return (
    narrow ||
    at(spec, 'resourcePolicy') !== undefined ||
    (typeof selector === 'object' && selector !== null && Object.keys(selector).length > 0)
  );
}

/** How Velero copied volumes is judged as a Schedule's: this one made this backup. */
function settingsOf(backup: KubeObject): KubeObject {
  const { name = '', namespace } = backup.metadata ?? {};
  const template = { ...(at(backup, 'spec') as object | undefined) };
  const metadata = { name: `backup-${name}`, ...(namespace !== undefined && { namespace }) };
  return { apiVersion: 'velero.io/v1', kind: 'Schedule', metadata, spec: { template } };
}

function partlyFailed(backup: KubeObject): readonly PlanProblem[] {
  if (textAt(backup, 'status', 'phase') !== 'PartiallyFailed') return [];
  const { name = '', namespace } = backup.metadata ?? {};
  const errors = at(backup, 'status', 'errors');
  const count = typeof errors === 'number' ? `${errors} errors` : 'errors';
  const reasons = textsAt(backup, 'status', 'validationErrors');
  return [
    {
      code: 'BACKUP_PARTIALLY_FAILED',
      severity: 'warning',
      object: refText({ kind: 'Backup', name, ...(namespace !== undefined && { namespace }) }),
      message: `Velero had ${count}: the backup may lack objects or volumes.${reasons.map((one) => ` ${one}`).join('')}`,
      fix: `velero backup describe ${name} --details says which.`,
    },
  ];
}
