import { at, type KubeObject, textAt, textsAt } from '../../objects/kube-object.ts';
import type { Kind } from '../../api/objects.ts';
import type { RestoreProblem } from '../document.ts';
import { RESTORE } from '../names.ts';
import { RUN_LABELS } from '../../run/names.ts';
import type { Target } from '../source.ts';

const VELERO = { group: 'velero.io', version: 'v1' };
export const RESTORES: Kind = { ...VELERO, plural: 'restores' };
export const FILE_BACKUPS: Kind = { ...VELERO, plural: 'podvolumebackups' };

const DONE = new Set(['Completed', 'PartiallyFailed']);
const FAILED = new Set(['Failed', 'FailedValidation']);

/** The names of what a run makes in Velero's namespace: the Restore has the run's own. */
export function modifierName(run: string): string {
  return `${run.slice(-55)}-modifier`.replace(/^[^a-z0-9]+/, '');
}

/**
 * Suspends the CronJobs that ran, and marks them. Velero reads one key, compares `matches` with the object in
 * the backup, where the API server has always set the field, and takes `"true"` without quotes as a boolean.
 */
export function modifierOf(
  { id, namespaces }: Target,
  velero: string,
): { readonly metadata: { readonly name: string }; readonly [field: string]: unknown } {
  const rules = {
    version: 'v1',
    resourceModifierRules: [
      {
        conditions: {
          groupResource: 'cronjobs.batch',
          namespaces: [...namespaces.keys()],
          matches: [{ path: '/spec/suspend', value: 'false' }],
        },
        mergePatches: [
          {
            patchData: JSON.stringify({
              metadata: { annotations: { [RESTORE.suspended]: id } },
              spec: { suspend: true },
            }),
          },
        ],
      },
    ],
  };
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: modifierName(id), namespace: velero, labels: labelsOf(id) } as never,
    // JSON is YAML.
    data: { 'rules.yaml': JSON.stringify(rules) },
  };
}

export function restoreOf({ id, namespaces }: Target, backup: string, velero: string): KubeObject {
  const mapping = Object.fromEntries([...namespaces].filter(([from, to]) => from !== to));
  return {
    apiVersion: 'velero.io/v1',
    kind: 'Restore',
    metadata: { name: id, namespace: velero, labels: labelsOf(id) },
    spec: {
      backupName: backup,
      includedNamespaces: [...namespaces.keys()],
      ...(Object.keys(mapping).length > 0 && { namespaceMapping: mapping }),
      resourceModifier: { kind: 'ConfigMap', name: modifierName(id) },
    },
  };
}

function labelsOf(id: string): Record<string, string> {
  return { [RUN_LABELS.run]: id, 'app.kubernetes.io/managed-by': 'quiesce' };
}

export interface RestoreState {
  readonly phase: string;
  readonly done: boolean;
  /** Why it will never be done. */
  readonly failure?: string;
  readonly problems: readonly RestoreProblem[];
}

/** What a Restore says of itself. */
export function stateOf(restore: KubeObject): RestoreState {
  const phase = textAt(restore, 'status', 'phase') ?? 'New';
  const reasons = [
    ...textsAt(restore, 'status', 'validationErrors'),
    ...[textAt(restore, 'status', 'failureReason') ?? ''].filter(Boolean),
  ].map((one) => one.replace(/\.$/, ''));
  if (FAILED.has(phase)) {
    const why = reasons.length > 0 ? reasons.join('; ') : 'it gives no reason';
    return { phase, done: true, failure: why, problems: [] };
  }
  const problems = phase === 'PartiallyFailed' ? [partlyFailed(restore, reasons)] : [];
  return { phase, done: DONE.has(phase), problems };
}

function partlyFailed(restore: KubeObject, reasons: readonly string[]): RestoreProblem {
  const { name = '', namespace = '' } = restore.metadata ?? {};
  const errors = at(restore, 'status', 'errors');
  const count = typeof errors === 'number' ? `${errors} errors` : 'errors';
  return {
    code: 'VELERO_PARTIALLY_FAILED',
    message: [`Velero had ${count}: objects, volumes or hooks may be missing`, ...reasons].join(
      '; ',
    ),
    hint: `velero restore describe ${name} --details says which.`,
    object: `${namespace} Restore/${name}`,
  };
}
