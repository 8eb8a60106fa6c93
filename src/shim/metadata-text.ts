import { oneLine } from '../lib/command-line/printable.ts';
import { fits, fitted } from './fitted-table.ts';
import { settingRow, shown, words } from './metadata-values.ts';
import { asList, asRecord, asText } from './table.ts';

type Body = Readonly<Record<string, unknown>>;
type Entry = readonly [name: string, value: unknown];

interface Look {
  readonly width: number;
  /** Also the roles and users that come with the server. */
  readonly all: boolean;
}

/** The metadata of a running server, or of a copy: the same text for both, under the heading of a copy. */
export function metadataText(body: Body, look: Look): string {
  if (body['kind'] !== 'Metadata') return sections(body, look).join('\n');
  const { engine, id, collectedAt, architecture } = body;
  const heading = `${asText(engine)} on ${asText(architecture)}, freeze ${asText(id)}, ${asText(collectedAt)}`;
  const lines = [oneLine(heading), ...sections(asRecord(body['metadata']), look)];
  for (const name of ['absent', 'truncated']) {
    if (asList(body[name]).length > 0) lines.push('', ...section(name, body[name], look));
  }
  return lines.join('\n');
}

function sections(body: Body, look: Look): string[] {
  const { plain, nested } = split(body);
  return [
    ...fields(plain, '', look),
    ...nested.flatMap(([name, value]) => ['', ...section(name, value, look)]),
  ];
}

function section(name: string, value: unknown, look: Look, pad = ''): string[] {
  if (Array.isArray(value)) return listSection(name, value as unknown[], look, pad);
  // The names of settings are the server's own.
  if (name === 'settings' || name === 'parameters') {
    const rows = flat(asRecord(value)).map(([key, one]) => [oneLine(key), shown(key, one)]);
    return [`${pad}${words(name)}`, ...indented(rows, `${pad}  `, look)];
  }
  const { plain, nested } = split(asRecord(value));
  return [
    `${pad}${words(name)}`,
    ...fields(plain, `${pad}  `, look),
    ...nested.flatMap(([key, child]) => section(key, child, look, `${pad}  `)),
  ];
}

/** Lists of plain values and empty ones are shown in one cell. */
function split(body: Body): { readonly plain: Entry[]; readonly nested: Entry[] } {
  const isNested = ([, value]: Entry): boolean =>
    Array.isArray(value)
      ? value.some((one) => typeof one === 'object')
      : typeof value === 'object' && value !== null && Object.keys(value).length > 0;
  const entries = Object.entries(body);
  return { plain: entries.filter((one) => !isNested(one)), nested: entries.filter(isNested) };
}

function flat(body: Body, path = ''): Entry[] {
  return Object.entries(body).flatMap(([key, value]): Entry[] => {
    const name = path === '' ? key : `${path}.${key}`;
    const inside = typeof value === 'object' && value !== null && !Array.isArray(value);
    return inside ? flat(value as Body, name) : [[name, value]];
  });
}

function listSection(name: string, list: readonly unknown[], look: Look, pad: string): string[] {
  const rows = list.filter((one) => look.all || asRecord(one)['builtin'] !== true);
  const hidden = list.length - rows.length;
  const rest = hidden === 0 ? '' : `; ${hidden} of the server's own are left out, --all shows them`;
  const heading = `${pad}${words(name)} (${rows.length}${rest})`;
  if (rows.some((row) => typeof row !== 'object')) {
    return [heading, ...rows.map((row) => `${pad}  ${shown('', row)}`)];
  }
  const records = rows.map(asRecord);
  const shaped = name === 'settings' ? records.map(settingRow) : records;
  const inner = `${pad}  `;
  const { common, rows: left } = withoutCommon(tableOf(shaped), look.width - inner.length);
  return [heading, ...indented([common], inner, look), ...indented(left, inner, look)].filter(
    Boolean,
  );
}

/** What a table that is too wide says in every row alike moves to one line above it. */
function withoutCommon(
  rows: readonly string[][],
  width: number,
): { readonly common: string[]; readonly rows: readonly string[][] } {
  const [head = [], ...body] = rows;
  const same = head.map(
    (_title, at) => body.length > 1 && body.every((row) => row[at] === body[0]?.[at]),
  );
  if (fits(rows, width) || !same.includes(true)) return { common: [], rows };
  const said = head.flatMap((title, at) =>
    same[at] ? [`${title.toLowerCase()} ${body[0]?.[at] ?? ''}`] : [],
  );
  const left = rows.map((row) => row.filter((_cell, at) => !same[at]));
  return { common: [`in all: ${said.join(', ')}`], rows: left };
}

/** Switches that are usually on: only a row in which one is off says so. */
const USUALLY_ON: Readonly<Record<string, string>> = {
  allowsConnections: 'no connections',
  inherit: 'no inherit',
  healthy: 'not healthy',
};

/** The switches of a row become one column with those that are on: nine columns would not fit. */
function tableOf(rows: readonly Body[]): string[][] {
  if (rows.length === 0) return [];
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const isSwitch = (name: string): boolean =>
    rows.every((row) => row[name] === undefined || typeof row[name] === 'boolean');
  const switches = names.filter((name) => isSwitch(name) && name !== 'builtin');
  const filled = names.filter((name) => !isSwitch(name)).filter(tellsMore(rows));
  const state = (row: Body): string =>
    switches
      .flatMap((name) => {
        const usual = USUALLY_ON[name];
        if (usual !== undefined) return row[name] === false ? [usual] : [];
        return row[name] === true ? [words(name)] : [];
      })
      .join(', ') || '-';
  const last = rows.some((row) => state(row) !== '-');
  return [
    [...filled.map(header), ...(last ? ['IS'] : [])],
    ...rows.map((row) => [
      ...filled.map((name) => shown(name, row[name])),
      ...(last ? [state(row)] : []),
    ]),
  ];
}

/** Leaves out a column that is empty, or that says in every row what the one before it says. */
function tellsMore(rows: readonly Body[]): (name: string, at: number, all: string[]) => boolean {
  const cells = (name: string | undefined): string =>
    name === undefined ? '' : JSON.stringify(rows.map((row) => shown(name, row[name])));
  const empty = JSON.stringify(rows.map(() => '-'));
  return (name, at, all) => ![empty, cells(all[at - 1])].includes(cells(name));
}

function fields(entries: readonly Entry[], pad: string, look: Look): string[] {
  const rows = entries.map(([name, value]) => [words(name), shown(name, value)]);
  return indented(rows, pad, look);
}

function indented(rows: readonly string[][], pad: string, look: Look): string[] {
  return fitted(rows, look.width - pad.length).map((line) => `${pad}${line}`.trimEnd());
}

function header(name: string): string {
  return words(name.replace(/Bytes$/, '')).toUpperCase();
}
