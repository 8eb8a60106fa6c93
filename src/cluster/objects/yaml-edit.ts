import { isDeepStrictEqual } from 'node:util';
import {
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { blockLines, inline, jsonLines, type Style, styleOf } from './yaml-text.ts';
import { readDocuments } from './yaml.ts';

/** A change at a path of keys and indexes. `-` appends to a list. */
export interface Edit {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: readonly (string | number)[];
  readonly value?: unknown;
}

/** A position of the text where nothing simple can be done. */
class Unsupported extends Error {}

/**
 * Makes the edits in the text itself: lines are added, and only a line whose own value changes is written
 * anew. Everything else stays byte for byte.
 *
 * @param wanted the value of the edited document, against which the result is checked
 * @returns `undefined` if the edits cannot be made in this way
 */
export function editText(
  source: string,
  edits: readonly Edit[],
  wanted: unknown,
): string | undefined {
  const crlf = /\r\n/.test(source) && !/(?:^|[^\r])\n/.test(source);
  try {
    let text = crlf ? source.replaceAll('\r\n', '\n') : source;
    for (const edit of edits) text = editOnce(text, edit);
    if (!isDeepStrictEqual(valueOf(text).toJS(), wanted)) return undefined;
    return crlf ? text.replaceAll('\n', '\r\n') : text;
  } catch {
    // The caller prints the whole document instead.
    return undefined;
  }
}

function valueOf(text: string) {
  const [document, ...others] = readDocuments(text);
  if (document === undefined || others.some(({ contents }) => contents !== null)) {
    throw new Unsupported();
  }
  return document;
}

function editOnce(text: string, { op, path, value }: Edit): string {
  const document = valueOf(text);
  const parent: unknown =
    path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const key = path.at(-1);
  if (key === undefined || !(isMap(parent) || isSeq(parent))) throw new Unsupported();
  const style = styleOf(text);
  const found = isMap(parent)
    ? pairOf(parent, key)
    : key === '-'
      ? undefined
      : parent.items[Number(key)];
  if (op === 'remove') return removed(text, parent, found);
  if (found !== undefined) return replaced(text, parent, { found, value, style });
  const flow = parent.flow === true;
  return flow
    ? addedInline(text, parent, { key, value, style })
    : addedBelow(text, parent, { key, value, style });
}

function pairOf(map: YAMLMap, key: string | number): Pair | undefined {
  return map.items.find((one) => isScalar(one.key) && String(one.key.value) === String(key));
}

interface Addition {
  readonly key: string | number;
  readonly value: unknown;
  readonly style: Style;
}

/** Adds lines after the last line of a block map or list. */
function addedBelow(
  text: string,
  parent: YAMLMap | YAMLSeq,
  { key, value, style }: Addition,
): string {
  const column = columnOf(text, parent);
  const content = isMap(parent) ? { [key]: value } : [value];
  return insertLines(text, endOf(text, parent), blockLines(content, ' '.repeat(column), style));
}

/** Adds to a map or list that is written in brackets. */
function addedInline(
  text: string,
  parent: YAMLMap | YAMLSeq,
  { key, value, style }: Addition,
): string {
  const last: unknown = parent.items.at(-1);
  const end = rangeOf(isPair(last) ? ((last.value ?? last.key) as Node) : (last as Node))[1];
  const [first]: unknown[] = parent.items;
  const start = rangeOf((isPair(first) ? first.key : first) as Node)[0];
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const pad = text.slice(lineStart, start);
  const ownLine = lineStart > rangeOf(parent)[0] && pad.trim() === '';
  const spaced = !style.json || /":\s/.test(text);
  const name = isMap(parent) ? `${inline(String(key), style)}:${spaced ? ' ' : ''}` : '';
  const written =
    style.json && ownLine ? jsonLines(value, pad, style) : inline(value, style, spaced);
  const gap = ownLine ? `\n${pad}` : spaced ? ' ' : '';
  return `${text.slice(0, end)},${gap}${name}${written}${text.slice(end)}`;
}

interface Replacement {
  readonly found: unknown;
  readonly value: unknown;
  readonly style: Style;
}

function replaced(
  text: string,
  parent: YAMLMap | YAMLSeq,
  { found, value, style }: Replacement,
): string {
  const node = (isPair(found) ? found.value : found) as Node | null;
  const isEmpty =
    (isScalar(node) && node.value === null) || (isCollection(node) && node.items.length === 0);
  if (node === null || (isCollection(node) && !isEmpty)) throw new Unsupported();
  const [start, end] = rangeOf(node);
  const filled = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
  if (filled && isPair(found)) {
    const place = { start, end, key: rangeOf(found.key as Node)[0] };
    if (style.json) return filledJson(text, place, { value, style });
    if (isEmpty && parent.flow !== true) {
      return filledBelow(text, place, { value, style, column: columnOf(text, parent) });
    }
  }
  if (text.slice(start, end).includes('\n')) throw new Unsupported();
  const space = start === end && !/\s$/.test(text.slice(0, start)) ? ' ' : '';
  return text.slice(0, start) + space + inline(value, style, /":\s/.test(text)) + text.slice(end);
}

interface Place {
  readonly start: number;
  readonly end: number;
  /** Where the key begins. */
  readonly key: number;
}

/** Puts the lines of a value below a key that has none, or an empty one in brackets. */
function filledBelow(
  text: string,
  { start, end }: Place,
  { value, style, column }: { value: unknown; style: Style; column: number },
): string {
  const isLast = start !== end && /^[ \t]*(?:\n|$)/.test(text.slice(end));
  const head = isLast ? text.slice(0, start).trimEnd() : text.slice(0, start);
  const bare = head + text.slice(end);
  const line = bare.indexOf('\n', head.length);
  const below = Array.isArray(value) && !style.indentSeq ? 0 : style.unit.length;
  const lines = blockLines(value, ' '.repeat(column + below), style);
  return insertLines(bare, line === -1 ? bare.length : line + 1, lines);
}

function filledJson(
  text: string,
  { start, end, key }: Place,
  { value, style }: { value: unknown; style: Style },
): string {
  const pad = text.slice(text.lastIndexOf('\n', key - 1) + 1, key);
  const several = style.unit !== '' && pad.trim() === '';
  const written = several ? jsonLines(value, pad, style) : inline(value, style, /":\s/.test(text));
  return text.slice(0, start) + written + text.slice(end);
}

/** Removes the lines of an element that begins on a line of its own. */
function removed(text: string, parent: YAMLMap | YAMLSeq, found: unknown): string {
  if (found === undefined || parent.flow === true || parent.items.length < 2)
    throw new Unsupported();
  const first = (isPair(found) ? found.key : found) as Node;
  const start = text.lastIndexOf('\n', rangeOf(first)[0] - 1) + 1;
  const before = text.slice(start, rangeOf(first)[0]).trim();
  if (before !== (isPair(found) ? '' : '-')) throw new Unsupported();
  const last = (isPair(found) ? (found.value ?? found.key) : found) as Node;
  return text.slice(0, start) + text.slice(endOf(text, last));
}

/** The column of the keys of a block map, or of the dashes of a block list. */
function columnOf(text: string, parent: YAMLMap | YAMLSeq): number {
  const [first]: unknown[] = parent.items;
  const node = (isPair(first) ? first.key : first) as Node | undefined;
  if (node === undefined) throw new Unsupported();
  const start = rangeOf(node)[0];
  const from = isMap(parent) ? start : text.lastIndexOf('-', start - 1);
  const before = text.slice(text.lastIndexOf('\n', from - 1) + 1, from);
  if (from < 0 || /[^ -]/.test(before)) throw new Unsupported();
  return before.length;
}

/** The beginning of the line after the last line of a node. */
function endOf(text: string, node: Node): number {
  let last = node;
  while (isCollection(last) && last.flow !== true && last.items.length > 0) {
    const item: unknown = last.items.at(-1);
    const below = (isPair(item) ? (item.value ?? item.key) : item) as Node | null;
    if (below === null) break;
    last = below;
  }
  const end = rangeOf(last)[1];
  if (end > 0 && text[end - 1] === '\n') return end;
  const line = text.indexOf('\n', end);
  return line === -1 ? text.length : line + 1;
}

function insertLines(text: string, at: number, lines: string): string {
  const needsBreak = at > 0 && text[at - 1] !== '\n';
  const added = needsBreak ? `\n${lines.replace(/\n$/, '')}` : lines;
  return text.slice(0, at) + added + text.slice(at);
}

function rangeOf(node: Node): readonly [number, number] {
  if (node.range === null || node.range === undefined) throw new Unsupported();
  return [node.range[0], node.range[1]];
}
