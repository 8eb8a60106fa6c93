import { isDeepStrictEqual } from 'node:util';
import { ANY_SETTING, type EngineName, entryOf } from '../../engines/names.ts';
import { mergeValues } from '../objects/merge-values.ts';
import type { EnvFrom, EnvVar } from '../objects/pod.ts';
import { sourceOf, type WrittenContainer } from './written.ts';

/** Variables that configure the sidecar. */
const SETTING = new RegExp(`^(?:QUIESCE_|(?:${ANY_SETTING})(?:_FILE|_DEFAULT)?$)`);

/** What an earlier injection wrote; `undefined`: there was none. */
export type Earlier = WrittenContainer | 'legacy' | undefined;

/** Whether an earlier injection wrote this variable, and nobody has changed it since. */
export function isOurs({ name, value }: EnvVar, written: Earlier): boolean {
  if (written === undefined) return false;
  if (written === 'legacy') return SETTING.test(name);
  if (!Object.hasOwn(written.env, name)) return false;
  const recorded = written.env[name];
  return recorded === null || recorded === undefined || recorded === (value ?? '');
}

/** The settings that the user wrote into the container. */
export function usersSettings(found: readonly EnvVar[], written: Earlier): readonly EnvVar[] {
  return found.filter((entry) => SETTING.test(entry.name) && !isOurs(entry, written));
}

/**
 * The variables of the sidecar: the wanted ones, those that others added, and those that its user wrote,
 * which win. Stale ones of an earlier injection are dropped.
 */
export function mergeEnv(
  found: readonly EnvVar[],
  wanted: readonly EnvVar[],
  { written, engine }: { written: Earlier; engine: EngineName | undefined },
): readonly EnvVar[] {
  const users = usersSettings(found, written);
  const ours = withoutConflicts(wanted, users, engine);
  const byName = new Map(ours.map((entry) => [entry.name, entry]));
  const kept = found.filter((entry) => byName.has(entry.name) || !isOurs(entry, written));
  const merged = kept.map((entry) => {
    const own = byName.get(entry.name);
    return own === undefined ? entry : mergeEntry(entry, own);
  });
  const names = new Set(kept.map(({ name }) => name));
  const result = [...merged, ...ours.filter(({ name }) => !names.has(name))];
  // The kubelet resolves a reference only to a variable earlier in the list.
  const order = result.map(({ name }) => name).filter((name) => byName.has(name));
  if (isDeepStrictEqual(order, [...byName.keys()])) return result;
  return [...ours, ...merged.filter(({ name }) => !byName.has(name))];
}

/** The wanted variables but those that a user's own stand for: the same name, its file, or a whole address. */
function withoutConflicts(
  wanted: readonly EnvVar[],
  users: readonly EnvVar[],
  engine: EngineName | undefined,
): readonly EnvVar[] {
  const patterns = users.flatMap(({ name, value }) => standIns(baseOf(name), value, engine));
  if (patterns.length === 0) return wanted;
  const conflict = new RegExp(`^(?:${patterns.join('|')})$`);
  return wanted.filter(({ name }) => !conflict.test(baseOf(name)));
}

/** Patterns for the settings that a user's one stands for. An address without a user leaves the login to others. */
function standIns(
  base: string,
  value: string | undefined,
  engine: EngineName | undefined,
): readonly string[] {
  if (engine === undefined) return [base];
  const { url, username, password, standsFor = {} } = entryOf(engine).login;
  const others = Object.hasOwn(standsFor, base) ? [standsFor[base] ?? ''] : [];
  const bare = value !== undefined && value !== '' && !value.includes('@');
  return [base, ...others, ...(base === url && !bare ? [username, password] : [])];
}

function baseOf(name: string): string {
  return name.replace(/_(?:FILE|DEFAULT)$/, '');
}

/** Keeps the apiVersion that the API server adds to a fieldRef. A change of the value's kind replaces the entry. */
function mergeEntry(found: EnvVar, wanted: EnvVar): EnvVar {
  const merged = mergeValues(found, wanted) as EnvVar;
  const kinds = (entry: EnvVar): string[] => [
    ...(entry.value === undefined || entry.value === '' ? [] : ['value']),
    ...Object.keys(entry.valueFrom ?? {}),
  ];
  return isDeepStrictEqual(kinds(merged), kinds(wanted)) ? merged : wanted;
}

/** The user's own sources, then ours. */
export function mergeEnvFrom(
  found: readonly EnvFrom[],
  wanted: readonly EnvFrom[],
  written: Earlier,
): readonly EnvFrom[] {
  const ours = new Set([
    ...wanted.map(sourceOf),
    ...(written === undefined || written === 'legacy' ? [] : written.from),
  ]);
  const users = written === 'legacy' ? [] : found.filter((one) => !ours.has(sourceOf(one)));
  return [...users, ...wanted];
}
