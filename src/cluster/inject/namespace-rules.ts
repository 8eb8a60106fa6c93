import type { Pod } from '../objects/pod.ts';

/** What a namespace demands of its pods. */
export interface NamespaceRules {
  readonly quotas: readonly Quota[];
  readonly ranges: readonly Range[];
  /** The platform gives each namespace users of its own, and refuses others (OpenShift). */
  readonly ownUsers: boolean;
}

export interface Quota {
  readonly name: string;
  readonly hard: Quantities;
  readonly used: Quantities;
  /** It counts only pods of these scopes, such as `BestEffort`. */
  readonly scopes: readonly string[];
  /** If set, it counts only pods of these priority classes. */
  readonly priorityClasses: readonly string[] | undefined;
}

/** The limits of a LimitRange for one type. */
export interface Range {
  readonly name: string;
  readonly type: string;
  readonly min: Quantities;
  readonly max: Quantities;
  readonly default: Quantities;
  readonly defaultRequest: Quantities;
  readonly maxLimitRequestRatio: Quantities;
}

export type Quantities = Readonly<Record<string, string>>;

const UID_RANGE = 'openshift.io/sa.scc.uid-range';

/**
 * Reads ResourceQuotas, LimitRanges and the Namespace among plain objects of one namespace.
 *
 * @param openshift the objects show that the platform is OpenShift
 */
export function namespaceRules(objects: readonly unknown[], openshift = false): NamespaceRules {
  const of = (kind: string): readonly unknown[] =>
    objects.filter((one) => one !== null && at(one, 'kind') === kind);
  const annotated = of('Namespace').some(
    (one) => at(one, 'metadata', 'annotations', UID_RANGE) !== undefined,
  );
  return {
    quotas: of('ResourceQuota').map(quotaOf),
    ranges: of('LimitRange').flatMap((one) =>
      listAt(one, 'spec', 'limits').map((limit) => rangeOf(nameOf(one), limit)),
    ),
    ownUsers: openshift || annotated,
  };
}

/** Whether a kind with its API group (`Route.route.openshift.io`) exists on OpenShift only. */
export function isOpenShift(kind: string): boolean {
  return /\.(?:apps|route|build|image|security|project|template)\.openshift\.io$/.test(kind);
}

/** Whether the quota counts a pod that has requests and runs until somebody ends it. */
export function countsPod({ scopes, priorityClasses }: Quota, { spec }: Pod): boolean {
  if (scopes.includes('BestEffort') || scopes.includes('Terminating')) return false;
  return priorityClasses === undefined || priorityClasses.includes(spec?.priorityClassName ?? '');
}

function quotaOf(object: unknown): Quota {
  const status = at(object, 'status', 'hard') === undefined ? 'spec' : 'status';
  const expressions = listAt(object, 'spec', 'scopeSelector', 'matchExpressions');
  const byPriority = expressions.find(
    (one) => at(one, 'scopeName') === 'PriorityClass' && at(one, 'operator') === 'In',
  );
  const selected = expressions.map((one) => textOf(at(one, 'scopeName')));
  return {
    name: nameOf(object),
    hard: quantitiesAt(object, status, 'hard'),
    used: quantitiesAt(object, 'status', 'used'),
    scopes: [...listAt(object, 'spec', 'scopes').map(textOf), ...selected],
    priorityClasses:
      byPriority === undefined ? undefined : listAt(byPriority, 'values').map(textOf),
  };
}

function rangeOf(name: string, limit: unknown): Range {
  return {
    name,
    type: textOf(at(limit, 'type')),
    min: quantitiesAt(limit, 'min'),
    max: quantitiesAt(limit, 'max'),
    default: quantitiesAt(limit, 'default'),
    defaultRequest: quantitiesAt(limit, 'defaultRequest'),
    maxLimitRequestRatio: quantitiesAt(limit, 'maxLimitRequestRatio'),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function nameOf(object: unknown): string {
  return textOf(at(object, 'metadata', 'name'));
}

function quantitiesAt(value: unknown, ...path: readonly string[]): Quantities {
  const found = at(value, ...path);
  const entries = typeof found === 'object' && found !== null ? Object.entries(found) : [];
  return Object.fromEntries(entries.map(([key, one]) => [key, textOf(one)]));
}

function listAt(value: unknown, ...path: readonly string[]): readonly unknown[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? (found as unknown[]) : [];
}

function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const key of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, key)) return undefined;
    found = (found as Record<string, unknown>)[key];
  }
  return found;
}
