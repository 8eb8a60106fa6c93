import type { KubeObject } from '../objects/kube-object.ts';
import { annotationsOf, labelsOf } from '../objects/kube-object.ts';
import { RESTORE } from '../restore/names.ts';
import { objectName } from '../run/object-names.ts';

/** One drill, as what it makes carries it. */
export interface DrillMarks {
  readonly id: string;
  readonly group: string;
  /** After this time of the API server anybody may delete what the drill has made. */
  readonly expires: string;
}

/** The scratch namespace for a namespace of the source. */
export function scratchName(namespace: string, { id, group }: Omit<DrillMarks, 'expires'>): string {
  return objectName(`drill-${namespace}`, { id, group });
}

/**
 * On everything that a drill makes, so that it is found again, whatever happens. No backup takes it: the
 * drill would be restored with the application.
 */
export function drillLabels({ id }: Pick<DrillMarks, 'id'>): Readonly<Record<string, string>> {
  return {
    [RESTORE.drill]: id,
    'app.kubernetes.io/managed-by': 'quiesce',
    'velero.io/exclude-from-backup': 'true',
  };
}

export function drillAnnotations({
  expires,
}: Pick<DrillMarks, 'expires'>): Readonly<Record<string, string>> {
  return { [RESTORE.expires]: expires };
}

/** Metadata of an object in a scratch namespace. A Namespace itself must not carry the run: it would be gated. */
export function marked(
  name: string,
  namespace: string,
  marks: DrillMarks,
): NonNullable<KubeObject['metadata']> {
  return {
    name,
    namespace,
    labels: { ...drillLabels(marks), [RESTORE.run]: marks.id },
    annotations: drillAnnotations(marks),
  };
}

/** `undefined`: the object is of no drill, or does not say until when it is needed. */
export function drillOf(
  object: KubeObject,
): { readonly id: string; readonly expires: number } | undefined {
  const id = labelsOf(object)[RESTORE.drill];
  const expires = Date.parse(annotationsOf(object)[RESTORE.expires] ?? '');
  return id === undefined || id === '' || Number.isNaN(expires) ? undefined : { id, expires };
}
