import { z } from 'zod';
import { freezeId, jsonValue } from './receipt.ts';

/** Beside the receipt: what an operator needs of the server in addition to the data. */
export const METADATA_FILE = 'metadata.json';
/** In bytes. It may contain names of roles and addresses, so only the owner of the data may read it. */
export const LARGEST_METADATA = 1 << 20;

const absentPart = z.object({ part: z.string(), reason: z.string() });

const documentSchema = z.object({
  apiVersion: z.literal('quiesce.dev/v1'),
  kind: z.literal('Metadata'),
  id: freezeId,
  engine: z.string(),
  collectedAt: z.string(),
  /** Of the machine on which the sidecar ran, as `uname -m` names it. */
  architecture: z.string(),
  metadata: z.record(z.string(), jsonValue),
  absent: z.array(absentPart),
  truncated: z.array(z.string()),
});

/** The metadata as a copy carries it: one document for each freeze. */
export type MetadataDocument = z.infer<typeof documentSchema>;

type Value = MetadataDocument['metadata'][string];

/** Returns null where the text is not such a document. */
export function parseMetadata(text: string): MetadataDocument | null {
  try {
    return documentSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/** The text of the document. A longer one is cut at its longest lists, and says so in `truncated`. */
export function writeMetadata(document: MetadataDocument, limit = LARGEST_METADATA): string {
  let { metadata, absent } = document;
  const truncated = new Map<string, string>();
  for (;;) {
    // One line for each part: the last cut is the one that counts.
    const cut = [...truncated.keys()].map((name) => `${name}: `);
    const before = document.truncated.filter((note) => !cut.some((name) => note.startsWith(name)));
    const notes = [...before, ...truncated.values()];
    const text = `${JSON.stringify({ ...document, metadata, absent, truncated: notes }, null, 1)}\n`;
    const size = Buffer.byteLength(text);
    if (size <= limit) return text;
    const longest = longestList(metadata);
    if (longest === undefined) {
      if (Object.keys(metadata).length === 0 && absent.length === 0) {
        throw new RangeError('What it must say of itself is longer than a copy may carry.');
      }
      if (Object.keys(metadata).length === 0) absent = [];
      metadata = {};
      truncated.set('', 'everything: it was longer than a copy may carry');
      continue;
    }
    const { path, list, bytes } = longest;
    // What is over the limit is cut at once, with a margin, so that few rounds are needed.
    const share = Math.max(0, 1 - (size - limit + 1_024) / bytes);
    const keep = Math.min(Math.floor(list.length * share), list.length - 1);
    metadata = replaced(metadata, path, list.slice(0, keep)) as typeof metadata;
    truncated.set(path.join('.'), `${path.join('.')}: only the first ${keep}`);
  }
}

interface Found {
  readonly path: readonly string[];
  readonly list: readonly Value[];
  readonly bytes: number;
}

function longestList(value: Value, path: readonly string[] = []): Found | undefined {
  if (Array.isArray(value)) {
    const bytes = JSON.stringify(value, null, 1).length + value.length * path.length;
    return value.length === 0 ? undefined : { path, list: value, bytes };
  }
  if (typeof value !== 'object' || value === null) return undefined;
  let longest: Found | undefined;
  for (const [key, child] of Object.entries(value)) {
    const found = longestList(child, [...path, key]);
    if (found && found.bytes > (longest?.bytes ?? 0)) longest = found;
  }
  return longest;
}

function replaced(value: Value, [key, ...rest]: readonly string[], list: readonly Value[]): Value {
  if (key === undefined) return [...list];
  const parent = value as Record<string, Value>;
  return { ...parent, [key]: replaced(parent[key] ?? null, rest, list) };
}
