import { createHash } from 'node:crypto';
import { APPLICATION } from '../objects/names.ts';
import { labelsOf } from '../objects/kube-object.ts';
import { selects } from '../inventory/selectors.ts';
import type { Draft } from './member.ts';

export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

export interface LabelSelector {
  readonly text: string;
  readonly matchExpressions: readonly Requirement[];
}

/** Which members of an inventory make up the application. */
export interface Selection {
  /** `undefined`: those of all namespaces. */
  readonly namespaces: readonly string[] | undefined;
  /** For the labels of workloads and custom resources. */
  readonly selector?: LabelSelector | undefined;
  /** The value of `quiesce.dev/group`. */
  readonly group?: string | undefined;
}

export function isChosen({ namespaces, selector, group }: Selection, member: Draft): boolean {
  const { namespace, object, annotations } = member;
  return (
    (namespaces === undefined || namespaces.includes(namespace)) &&
    (selector === undefined || selects(selector, labelsOf(object))) &&
    (group === undefined || annotations[APPLICATION.group] === group)
  );
}

const LONGEST_LABEL = 63;

/**
 * The name of the application: its group, or its namespaces, and the selector. It is the value of a label,
 * and tells the runs of two applications in one namespace apart: so no two selections have the same one,
 * but for a group with the name of its namespace.
 */
export function nameOf(
  { group, namespaces, selector }: Selection,
  found: readonly string[],
): string {
  const where = group ?? placesOf(namespaces, found);
  if (selector === undefined) return where.length <= LONGEST_LABEL ? where : hashed(where, where);
  const parts = canonical(selector);
  const text = parts.map(([key, , ...values]) => [key, ...values].join('-')).join('-');
  return hashed(
    `${where}.${text.replaceAll(/[^A-Za-z0-9]+/g, '-')}`,
    JSON.stringify([where, parts]),
  );
}

function placesOf(namespaces: readonly string[] | undefined, found: readonly string[]): string {
  const places = [...new Set(namespaces ?? found)].toSorted();
  if (places.length <= 1) return places[0] ?? '';
  const what = namespaces === undefined ? 'all' : places.join('.');
  return namespaces === undefined ? what : hashed(what, places.join('\n'));
}

/** Shortened to what a label may hold. @param whole what tells it from others */
function hashed(name: string, whole: string): string {
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 8);
  const start = name.slice(0, LONGEST_LABEL - hash.length - 1);
  return `${start.replace(/[^A-Za-z0-9]+$/, '')}-${hash}`;
}

/** The same for selectors that select the same, in whatever order they are written. */
function canonical({ matchExpressions }: LabelSelector): readonly (readonly string[])[] {
  const parts = matchExpressions.map(({ key, operator, values }) => [
    key,
    operator,
    ...[...new Set(values)].toSorted(),
  ]);
  const byText = new Map(parts.map((one) => [JSON.stringify(one), one]));
  return [...byText].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

const KEY = /^(?:[a-z0-9][-a-z0-9.]*\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/**
 * Reads a selector as kubectl writes it: `app=shop,tier!=web,env in (a,b),!canary`.
 *
 * @returns a LabelSelector, or `undefined` if it is malformed
 */
export function parseSelector(text: string): LabelSelector | undefined {
  const parts = text.split(/,(?![^(]*\))/).map((one) => one.trim());
  const all = parts.map(requirement);
  const valid = all.filter((one) => one !== undefined);
  return valid.length === all.length ? { text, matchExpressions: valid } : undefined;
}

function requirement(part: string): Requirement | undefined {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  const equal = /^([^\s!=]+)\s*(!=|==?)\s*(\S*)$/.exec(part);
  const exists = /^(!?)\s*([^\s!=()]+)$/.exec(part);
  if (set) {
    const values = (set[3] ?? '').split(',').map((one) => one.trim());
    return checked(set[1], set[2] === 'in' ? 'In' : 'NotIn', values);
  }
  if (equal) return checked(equal[1], equal[2] === '!=' ? 'NotIn' : 'In', [equal[3] ?? '']);
  if (exists) return checked(exists[2], exists[1] === '!' ? 'DoesNotExist' : 'Exists', []);
  return undefined;
}

function checked(
  key = '',
  operator: Requirement['operator'],
  values: readonly string[],
): Requirement | undefined {
  const good = KEY.test(key) && values.every((one) => VALUE.test(one));
  return good ? { key, operator, values } : undefined;
}
