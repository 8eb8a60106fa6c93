import { createHash } from 'node:crypto';
import { APPLICATION } from '../objects/names.ts';
import { labelsOf } from '../inventory/catalog.ts';
import { selects } from '../inventory/selectors.ts';
import type { Draft } from './member.ts';

export interface LabelSelector {
  readonly text: string;
  readonly matchExpressions: readonly object[];
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
 * The name of the application: its group, or its namespaces with the selector. It is the value of a label,
 * and tells the runs of two applications in one namespace apart.
 */
export function nameOf(
  { group, namespaces, selector }: Selection,
  found: readonly string[],
): string {
  if (group !== undefined) return group;
  const places = [...new Set(namespaces ?? found)].toSorted();
  const where = namespaces === undefined && places.length > 1 ? 'all' : places.join('.');
  const what = selector?.text.replaceAll(/[^A-Za-z0-9]+/g, '-').replaceAll(/^-|-$/g, '');
  return asLabel(what === undefined ? where : `${where}.${what}`);
}

function asLabel(name: string): string {
  if (name.length <= LONGEST_LABEL) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  const start = name.slice(0, LONGEST_LABEL - hash.length - 1);
  return `${start.replace(/[^A-Za-z0-9]+$/, '')}-${hash}`;
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

function requirement(part: string): object | undefined {
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

function checked(key = '', operator: string, values: readonly string[]): object | undefined {
  const good = KEY.test(key) && values.every((one) => VALUE.test(one));
  return good ? { key, operator, values } : undefined;
}
