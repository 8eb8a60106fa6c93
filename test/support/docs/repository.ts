import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Not of the repository. */
const BESIDE = new Set(['.cache', '.git', 'coverage', 'dist', 'node_modules']);

export const read = (name: string): string => readFileSync(resolve(root, name), 'utf8');

function filesIn(folder: string): string[] {
  return readdirSync(resolve(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = join(folder, entry.name);
    if (!entry.isDirectory()) return entry.name === '.git' ? [] : [name];
    return BESIDE.has(entry.name) ? [] : filesIn(name);
  });
}

/** Every file of the repository, by its path. */
export const files: readonly string[] = filesIn('');

/** Every page of Markdown. */
export const pages = files.filter((name) => name.endsWith('.md'));

/** A text, and where a reader finds it. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

const sources = (wanted: (name: string) => boolean): Source[] =>
  files.filter(wanted).map((name) => ({ name, text: read(name) }));

/** The pages, and what of the chart a person reads: notes, comments, alerts, dashboard. */
export const documents = (): Source[] =>
  sources(
    (name) =>
      (name.endsWith('.md') && name !== 'CHANGELOG.md') ||
      /^(?:charts\/quiesce|docs\/examples)\/.*\.(?:yaml|json|txt|tpl)$/.test(name),
  );

/** The code: its help texts and hints name flags, files and settings, and so do its comments. */
export const code = (): Source[] => sources((name) => /^(?:src|roles)\//.test(name));

/** A page that states something false: a check that does not find it checks nothing. */
export const page = (text: string): Source => ({ name: 'planted', text });

/** Each statement of one kind that is false, and where it stands. */
export async function falseIn<T>(
  sources: readonly Source[],
  statements: (text: string) => readonly T[],
  holds: (statement: T, source: Source) => boolean | Promise<boolean>,
): Promise<string[]> {
  const found: string[] = [];
  for (const source of sources) {
    for (const statement of statements(source.text)) {
      if (await holds(statement, source)) continue;
      found.push(`${source.name}: ${JSON.stringify(statement)}`);
    }
  }
  return found;
}
