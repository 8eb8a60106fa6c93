import { readFileSync, statSync } from 'node:fs';
import { isEngineSetting } from '../engines/names.ts';

/** One problem with the configuration. The message never contains the value of a secret. */
export interface ConfigIssue {
  readonly name: string;
  readonly message: string;
}

export type Settings = Readonly<Record<string, string>>;

const LARGEST_FILE = 64 * 1024;

/** Whether `NAME_FILE` is resolved for this key: for quiesce's own keys and the engines'. */
function isResolvable(name: string): boolean {
  return /^QUIESCE_[A-Z0-9_]+$/.test(name) || isEngineSetting(name);
}

/** A reference that Kubernetes leaves as it is, because its variable is not set. */
const UNRESOLVED = /^\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)$/;

/**
 * Removes engine keys whose value is only an unresolved reference, then sets each engine key from
 * `NAME_DEFAULT` if neither `NAME` nor `NAME_FILE` is set. So a pod can refer to an optional key of the
 * database's ConfigMap and give a default, and the injector need not read that ConfigMap.
 */
export function resolveDefaults(source: Settings): Record<string, string> {
  const resolved: Record<string, string> = { ...source };
  for (const [key, value] of Object.entries(source)) {
    if (isEngineKey(key) && UNRESOLVED.test(value)) delete resolved[key];
  }
  for (const [key, value] of Object.entries(source)) {
    const name = key.endsWith('_DEFAULT') ? key.slice(0, -'_DEFAULT'.length) : '';
    if (!isEngineKey(name)) continue;
    delete resolved[key];
    const given = [name, `${name}_FILE`].some((one) => (resolved[one] ?? '') !== '');
    if (!given) resolved[name] = value;
  }
  return resolved;
}

function isEngineKey(name: string): boolean {
  return isEngineSetting(name.replace(/_FILE$/, ''));
}

/**
 * Replaces every `NAME_FILE` by `NAME` with the content of that file, without its last line break.
 * Adds an issue where both forms are given, and where the file is unreadable, empty or too large.
 */
export function resolveFiles(source: Settings, issues: ConfigIssue[]): Record<string, string> {
  const resolved: Record<string, string> = { ...source };
  for (const [key, path] of Object.entries(source)) {
    const name = key.endsWith('_FILE') ? key.slice(0, -'_FILE'.length) : '';
    if (!isResolvable(name)) continue;
    delete resolved[key];
    if ((source[name] ?? '') !== '') {
      issues.push({ name: key, message: `is set as well as ${name}; set only one of them` });
      continue;
    }
    const content = readSmallFile(path);
    if (typeof content !== 'string') issues.push({ name: key, message: content.problem });
    else if (content.trim() === '') issues.push({ name: key, message: 'names an empty file' });
    else resolved[name] = content.replace(/\r?\n$/, '');
  }
  return resolved;
}

export function readSmallFile(path: string): string | { readonly problem: string } {
  try {
    const found = statSync(path);
    if (found.isDirectory()) return { problem: `names a directory (${path})` };
    if (found.size > LARGEST_FILE) return { problem: `names a file over 64 KiB (${path})` };
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    return { problem: `names a file that cannot be read (${path}: ${code})` };
  }
}

/** Reads a settings file: a JSON object, or `KEY=VALUE` lines with `#` comments and optional quotes. */
export function parseSettings(text: string, issues: ConfigIssue[]): Record<string, string> {
  const plain = text.replace(/^\uFEFF/, '');
  return plain.trimStart().startsWith('{') ? parseJson(plain, issues) : parseLines(plain, issues);
}

function parseJson(text: string, issues: ConfigIssue[]): Record<string, string> {
  const settings: Record<string, string> = {};
  try {
    for (const [key, value] of Object.entries(JSON.parse(text) as object)) {
      if (['string', 'number', 'boolean'].includes(typeof value)) settings[key] = String(value);
      else issues.push({ name: key, message: 'must be text, a number or a boolean' });
    }
  } catch {
    issues.push({ name: '--config', message: 'the file begins with { but is not valid JSON' });
  }
  return settings;
}

function parseLines(text: string, issues: ConfigIssue[]): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(line);
    const key = match?.[1];
    const value = match?.[2] === undefined ? undefined : unquote(match[2]);
    if (key === undefined || value === undefined) {
      issues.push({ name: '--config', message: `line ${index + 1} is not KEY=VALUE` });
    } else if (Object.hasOwn(settings, key)) {
      issues.push({ name: key, message: 'is given twice in the file' });
    } else {
      settings[key] = value;
    }
  }
  return settings;
}

/** `undefined` if a quote is not closed. In an unquoted value, ` #` begins a comment. */
function unquote(text: string): string | undefined {
  const quote = text[0];
  if (quote !== '"' && quote !== "'") return text.replace(/\s+#.*$/, '').trim();
  const end = text.indexOf(quote, 1);
  if (end < 0 || !/^\s*(?:#.*)?$/.test(text.slice(end + 1))) return undefined;
  return text.slice(1, end);
}
