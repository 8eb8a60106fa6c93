import { namesSecret, redact } from '../../lib/redact.ts';
import { labelsOf, type KubeObject } from '../objects/kube-object.ts';
import { RUN_LABELS } from '../run/names.ts';

const CENSORED = '[redacted]';
/** Fields that hold the name of a secret or facts about it, not the secret. */
const ABOUT =
  /(?:name|names|ref|refs|path|file|mode|type|policy|namespace|seconds|version|id|kind|count|algorithm|automount\w*)$/i;
/** Variables whose values help, and are never secrets. Every other value is left out. */
const PLAIN =
  /^(?:QUIESCE_(?!.*(?:TOKEN|PASSWORD|SECRET|URI|URL)).*|TZ|LANG|LC_\w+|NODE_ENV|\w*(?:HOST|PORT|USER|DATABASE|_DB|SSLMODE|REPLICAS|LOG_LEVEL))$/;
/** Commands take a password after these. */
const SECRET_FLAG = /^(?:-a|-p|-P|--?(?:pass|user)\w*)$/;
const LONGEST = 400;

type Fields = Readonly<Record<string, unknown>>;

/**
 * An object without what may be a secret: Secrets and ConfigMaps keep the names of their keys, variables
 * keep their names, and of text only what is known to be harmless stays.
 */
export function redactObject(object: KubeObject): KubeObject {
  const { metadata, ...rest } = object;
  const { kind } = object;
  const clean: Record<string, unknown> = { ...(walk(rest, []) as Fields) };
  if (
    kind === 'Secret' ||
    (kind === 'ConfigMap' && labelsOf(object)[RUN_LABELS.report] === undefined)
  ) {
    for (const field of ['data', 'stringData', 'binaryData']) {
      if (rest[field] !== undefined) clean[field] = keysOf(rest[field], kind);
    }
  }
  return { ...clean, ...(metadata && { metadata: metadataOf(metadata as Fields) }) };
}

function keysOf(data: unknown, kind: string): Fields {
  if (typeof data !== 'object' || data === null) return {};
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [
      key,
      kind === 'Secret' ? CENSORED : `[${String(value).length} characters]`,
    ]),
  );
}

/** A manifest that kubectl keeps in an annotation repeats what was taken out elsewhere. */
function metadataOf(metadata: Fields): Fields {
  const { managedFields: _, annotations, ...rest } = metadata;
  const { 'kubectl.kubernetes.io/last-applied-configuration': __, ...kept } = (annotations ??
    {}) as Record<string, string>;
  return {
    ...(walk(rest, []) as Fields),
    ...(annotations !== undefined && { annotations: walk(kept, ['annotations']) }),
  };
}

function walk(value: unknown, path: readonly string[]): unknown {
  const field = path.at(-1) ?? '';
  if (typeof value === 'string') return textOf(value, field);
  if (Array.isArray(value)) {
    if (field === 'args' || field === 'command') return wordsOf(value);
    return value.map((one: unknown) => walk(one, path));
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  const name = (value as Fields)['name'];
  if (typeof name === 'string' && typeof (value as Fields)['value'] === 'string') {
    return Object.fromEntries(
      entries.map(([key, one]) => [
        key,
        key === 'value' ? variable(name, one as string) : walk(one, [...path, key]),
      ]),
    );
  }
  return Object.fromEntries(entries.map(([key, one]) => [key, walk(one, [...path, key])]));
}

function variable(name: string, value: string): string {
  return PLAIN.test(name) && !namesSecret(name) ? redact(value) : CENSORED;
}

function textOf(value: string, field: string): string {
  if (namesSecret(field) && !ABOUT.test(field)) return CENSORED;
  // Whole files inside a field may hold anything; a message is for people.
  if (value.includes('\n') && !/message|reason|report/i.test(field)) {
    return `[${value.split('\n').length} lines]`;
  }
  const clean = redact(value);
  return clean.length > LONGEST && !/message|report|\.json$/i.test(field)
    ? `${clean.slice(0, LONGEST)}…`
    : clean;
}

/** A script may name a secret anywhere, so only its first word stays. */
function wordsOf(words: readonly unknown[]): readonly unknown[] {
  return words.map((one, index) => {
    const word = typeof one === 'string' ? one : '';
    const before = words[index - 1];
    if (typeof before === 'string' && before.startsWith('-')) {
      const bare = before.replace(/^-+/, '');
      if (SECRET_FLAG.test(before) || namesSecret(bare)) return CENSORED;
    }
    if (/[\n;|&]|\s-\w/.test(word) || (word.includes(' ') && !word.startsWith('-'))) {
      return `${word.trim().split(/\s+/)[0] ?? ''} [script, ${word.length} characters]`;
    }
    return redact(word);
  });
}
