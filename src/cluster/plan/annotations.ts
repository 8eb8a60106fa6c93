import { applicationValue, differences, readApplication } from '../inject/application.ts';
import { readSettings } from '../inject/settings.ts';
import { ANNOTATIONS, APPLICATION } from '../objects/names.ts';
import { annotationsOf, type KubeObject } from '../objects/kube-object.ts';

type Annotations = Readonly<Record<string, string>>;

/** One problem of an annotation, as a sentence. */
export interface AnnotationProblem {
  readonly code: 'ANNOTATION_IGNORED' | 'ANNOTATIONS_DIFFER';
  readonly message: string;
}

export interface MemberAnnotations {
  /** Valid and invalid ones, aliases under their own names, without those that injection wrote. */
  readonly values: Annotations;
  readonly problems: readonly AnnotationProblem[];
}

/** Reads the annotations of a workload and of its pods or templates. The workload's apply. */
export function annotationsFrom(
  workload: KubeObject,
  below: readonly Annotations[],
): MemberAnnotations {
  const own = usersOwn(annotationsOf(workload));
  const templates = below.map(usersOwn);
  const merged = Object.assign({}, ...[...templates].toReversed(), own) as Annotations;
  const problems = [
    ...new Set([own, ...templates].flatMap((one) => readSettings(one).ignored.map(ignored))),
  ].map((message) => ({ code: 'ANNOTATION_IGNORED' as const, message }));
  const differ = new Set(
    templates.flatMap((one) =>
      differences(own, one).map(({ field, message }) => `${field} ${message}.`),
    ),
  );
  return {
    values: { ...merged, ...applicationValues(own, templates) },
    problems: [
      ...problems,
      ...[...differ].map((message) => ({ code: 'ANNOTATIONS_DIFFER' as const, message })),
    ],
  };
}

function ignored({ field, message }: { field: string; message: string }): string {
  const kept = field === APPLICATION.dependsOn ? 'its other names count' : 'it is ignored';
  return `${field} ${message} (${kept}).`;
}

/** An alias on the workload outweighs the name itself on the template. */
function applicationValues(own: Annotations, templates: readonly Annotations[]): Annotations {
  const values = Object.values(APPLICATION).flatMap((name) => {
    const found = [own, ...templates]
      .map((one) => applicationValue(one, name))
      .find((one) => one !== undefined);
    return found === undefined ? [] : [[name, found.value] as const];
  });
  return Object.fromEntries(values);
}

/** Without what an earlier injection wrote: its guesses are no statements of the user. */
function usersOwn(all: Annotations): Annotations {
  let written: unknown;
  try {
    written = JSON.parse(all[ANNOTATIONS.written] ?? '{}');
  } catch {
    written = {};
  }
  const guesses = new Map(Object.entries((written ?? {}) as Record<string, unknown>));
  return Object.fromEntries(
    Object.entries(all).filter(
      ([key, value]) => key !== ANNOTATIONS.written && guesses.get(key) !== value,
    ),
  );
}

/** The valid value of an annotation; `undefined`: it is absent or invalid. */
export function validValue(values: Annotations, name: string): string | undefined {
  const value = values[name];
  if (value === undefined || value === '') return undefined;
  return readApplication({ [name]: value }).length === 0 ? value : undefined;
}

/** The number that `quiesce.dev/order` gives. */
export function orderOf(values: Annotations): number | undefined {
  const value = validValue(values, APPLICATION.order);
  return value === undefined ? undefined : Number(value);
}

/** `high`, `normal`, `low`, or a whole number. */
export function priorityOf(values: Annotations): string {
  return validValue(values, APPLICATION.priority) ?? 'normal';
}

/** The higher goes first. */
export function priorityRank(priority: string): number {
  const words: Readonly<Record<string, number>> = { high: 1, normal: 0, low: -1 };
  return words[priority] ?? Number(priority);
}

/** The valid names in `quiesce.dev/depends-on`. */
export function dependenciesOf(values: Annotations): readonly string[] {
  const value = values[APPLICATION.dependsOn] ?? '';
  const all = value.split(',').map((one) => one.trim());
  const valid = all.filter(
    (one) => one !== '' && validValue({ [APPLICATION.dependsOn]: one }, APPLICATION.dependsOn),
  );
  return [...new Set(valid)];
}
