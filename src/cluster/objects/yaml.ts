import { type Document, parseAllDocuments, type Scalar, type SchemaOptions, type Tags } from 'yaml';
import { QuiesceError } from '../../errors.ts';

/**
 * The documents of a manifest, read as kubectl and Helm do (YAML 1.1): `0755` is octal, `yes` a boolean.
 * They keep how the source writes its scalars.
 *
 * @throws QuiesceError MANIFEST_INVALID if the text is not YAML
 */
export function readDocuments(text: string): readonly Document.Parsed[] {
  return documentsOf('The manifest', text, { customTags: keepSourceText });
}

/**
 * As `readDocuments`, without the source of scalars.
 *
 * @param name what people call the text
 * @throws QuiesceError MANIFEST_INVALID if the text is not YAML, or the value of a document has no end
 */
export function documentsOf(
  name: string,
  text: string,
  options: Pick<SchemaOptions, 'customTags'> = {},
): readonly Document.Parsed[] {
  try {
    const documents = parseAllDocuments(text, {
      version: '1.1',
      ...options,
    }) as unknown as Document.Parsed[];
    const broken = documents.flatMap(({ errors }) => errors)[0];
    if (broken) throw broken;
    // Endless nesting, too many aliases and unknown ones show only when the value is made, and an alias of
    // what it stands in only to who walks through it.
    for (const document of documents) JSON.stringify(document.toJS());
    return documents;
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0]?.replace(/[:.]$/, '');
    throw new QuiesceError('MANIFEST_INVALID', `${name} is not YAML: ${reason}.`, {
      ...(text.includes('{{') && { hint: TEMPLATE }),
    });
  }
}

const TEMPLATE =
  'It looks like a template of a Helm chart. Run helm template on the chart, and give what it prints.';

/** Prints scalars as the source has them: a number printed from its value may change (1e3) or be rounded. */
function keepSourceText(tags: Tags): Tags {
  return tags.map((tag) => {
    if (typeof tag !== 'object' || !/:(?:int|float|bool|null)$/.test(tag.tag)) return tag;
    const { stringify } = tag as { stringify?: (node: Scalar, ...rest: unknown[]) => string };
    return {
      ...tag,
      stringify: (node: Scalar, ...rest: unknown[]): string =>
        node.source ?? stringify?.(node, ...rest) ?? String(node.value),
    } as typeof tag;
  });
}

/** Prints a changed document in the style of its source: indentation, spaces, line ends, JSON or YAML. */
export function printDocument(document: Document.Parsed, source: string): string {
  const json = printJson(document, source);
  if (json !== undefined) return json;
  const text = document.toString({
    lineWidth: 0,
    indentSeq: !/^( *)["'\w./-]+:[ \t]*\r?\n(?:[ \t]*#.*\n)*\1- /m.test(source),
    flowCollectionPadding: count(source, /[[{] +[^\s\]}]/g) >= count(source, /[[{][^\s\]}]/g),
  });
  // The printer drops blank lines at both ends. Those before belong to an empty document.
  const before = /^(?:\r?\n)*/.exec(source)?.[0] ?? '';
  const after = /(?:\r?\n)*$/.exec(source)?.[0] ?? '';
  const body = text.replace(/\n+$/, '');
  return before + (source.includes('\r\n') ? body.replaceAll('\n', '\r\n') : body) + after;
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** JSON stays JSON, since its consumer may parse nothing else, and keeps its indentation. */
function printJson(document: Document.Parsed, source: string): string | undefined {
  try {
    JSON.parse(source);
  } catch {
    return undefined;
  }
  const indent = /^\s*[[{]\r?\n([ \t]+)/.exec(source)?.[1];
  const end = /\s*$/.exec(source)?.[0] ?? '';
  return JSON.stringify(document.toJS(), null, indent) + end;
}
