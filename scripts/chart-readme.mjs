// Generates charts/quiesce/README.md: the text from README.tmpl.md, the table of values from the
// comments in values.yaml. A comment that starts with -- describes the key below it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, isPair, isScalar, parseDocument } from 'yaml';

const NOTICE = '<!-- Generated from README.tmpl.md and values.yaml by npm run generate. -->';

/** @throws Error that lists every key without a description. */
export async function chartReadme(chart) {
  const [template, values] = await Promise.all(
    ['README.tmpl.md', 'values.yaml'].map((name) => readFile(join(chart, name), 'utf8')),
  );
  const rows = rowsOf(parseDocument(values).contents);
  const missing = rows.filter(({ text }) => text === undefined).map(({ key }) => key);
  if (missing.length > 0)
    throw new Error(`values.yaml has no description for: ${missing.join(', ')}`);
  const lines = rows.map(({ key, value, text }) => `| \`${key}\` | \`${value}\` | ${text} |`);
  const table = ['| value | default | |', '|---|---|---|', ...lines].join('\n');
  return template.replace('<!-- values -->', () => table).replace(/^(# .*\n)/, `$1\n${NOTICE}\n`);
}

/** One row for each key that has a description or no children. */
function rowsOf(map, path = []) {
  return map.items.filter(isPair).flatMap(({ key, value }, place) => {
    // This parser attaches the comment before the first key to the map.
    const comment = key.commentBefore ?? (place === 0 ? map.commentBefore : undefined);
    const text = /(?:^|\n) ?-- ((?:.|\n)*)$/.exec(comment ?? '')?.[1]?.replaceAll(/\s*\n\s*/g, ' ');
    const name = [...path, key.value];
    if (text === undefined && isMap(value) && value.items.length > 0) return rowsOf(value, name);
    return [{ key: name.join('.'), value: show(value), text }];
  });
}

function show(value) {
  const plain = isScalar(value) ? value.value : value.toJSON();
  return JSON.stringify(plain);
}
