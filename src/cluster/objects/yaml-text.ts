import { stringify } from 'yaml';

/** How a document writes its collections. */
export interface Style {
  /** JSON stays JSON, since its consumer may parse nothing else. */
  readonly json: boolean;
  /** One level of indentation. */
  readonly unit: string;
  /** Whether the dashes of a list are indented below its key. */
  readonly indentSeq: boolean;
  /** `{ a: 1 }`, not `{a: 1}`. */
  readonly padded: boolean;
}

export function styleOf(source: string): Style {
  const json = isJson(source);
  const unit = json
    ? (/^\s*[[{]\n([ \t]+)/.exec(source)?.[1] ?? '')
    : (/^( +)[^\s#-]/m.exec(source)?.[1] ?? '  ');
  return {
    json,
    unit: json || unit.length <= 8 ? unit : '  ',
    indentSeq: !/^( *)["'\w./-]+:[ \t]*\n(?:[ \t]*#.*\n)*\1- /m.test(source),
    padded: count(source, /[[{] +[^\s\]}]/g) >= count(source, /[[{][^\s\]}]/g),
  };
}

function isJson(source: string): boolean {
  try {
    JSON.parse(source);
    return true;
  } catch {
    return false;
  }
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** Strings that YAML 1.1 would read as something else are quoted. */
const OPTIONS = { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false } as const;

/** Lines of a value in block style, each with `pad` before it. */
export function blockLines(value: unknown, pad: string, { unit, indentSeq }: Style): string {
  const text = stringify(value, { ...OPTIONS, indent: Math.max(unit.length, 2), indentSeq });
  return text.replaceAll(/^(?=.)/gm, pad);
}

/** A value on one line. */
export function inline(value: unknown, { json, padded }: Style, spaced = true): string {
  if (json) {
    const text = JSON.stringify(value);
    return spaced && typeof value === 'object'
      ? JSON.stringify(value, null, 1).replaceAll(/\n */g, ' ')
      : text;
  }
  return stringify(value, {
    ...OPTIONS,
    collectionStyle: 'flow',
    flowCollectionPadding: padded,
  }).trimEnd();
}

/** A value of JSON over several lines, whose first is not indented. */
export function jsonLines(value: unknown, pad: string, { unit }: Style): string {
  return JSON.stringify(value, null, unit).replaceAll('\n', `\n${pad}`);
}
