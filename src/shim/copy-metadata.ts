import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { QuiesceError } from '../errors.ts';
import { asRecord } from './table.ts';

type Body = Readonly<Record<string, unknown>>;

const FOLDER = '.quiesce';
/** Of the last freeze or of an unverified copy; and of copies that were verified here. */
const OWN = 'metadata.json';
const RESTORED = /^restored-[^+]+\+metadata\.json$/;
/** Larger than any that a freeze writes. */
const LARGEST = 4 << 20;

/**
 * Reads the metadata that a copy carries: no sidecar and no server is needed. After a verification it is
 * that of the copy restored last.
 *
 * @param dir what QUIESCE_DATA_DIR was
 * @throws QuiesceError USAGE, METADATA_NOT_FOUND, METADATA_INVALID
 */
export function readCopyMetadata(dir: string): Body {
  const folder = join(existing(dir), FOLDER);
  const own = readDocument(join(folder, OWN));
  if (own !== undefined) return own;
  const kept = namesIn(folder).filter((name) => RESTORED.test(name));
  const found = kept.flatMap((name): Body[] => {
    const document = readDocument(join(folder, name));
    return document === undefined ? [] : [document];
  });
  const newest = found.toSorted((a, b) => (at(a) < at(b) ? 1 : -1))[0];
  if (newest !== undefined) return newest;
  throw new QuiesceError('METADATA_NOT_FOUND', `${folder} has no ${OWN}.`, {
    field: '--data',
  });
}

const at = (document: Body): string => String(document['collectedAt']);

function existing(dir: string): string {
  try {
    if (statSync(dir).isDirectory()) return dir;
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error))) throw unreadable(dir, error);
  }
  throw new QuiesceError('USAGE', `--data: ${dir} is not a folder.`, {
    field: '--data',
    hint: 'Give the mount path of the restored volume: the value that QUIESCE_DATA_DIR had.',
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return [];
    throw unreadable(folder, error);
  }
}

/** A restored folder may contain anything, a FIFO among it: that must not keep the command waiting. */
function readDocument(path: string): Body | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return undefined;
    throw unreadable(path, error);
  }
  try {
    const info = fstatSync(file);
    if (!info.isFile()) throw invalid(path, 'it is not a regular file');
    if (info.size > LARGEST) throw invalid(path, 'it is too large');
    return parse(path, readFileSync(file, 'utf8'));
  } finally {
    closeSync(file);
  }
}

function parse(path: string, text: string): Body {
  let document: Body;
  try {
    document = asRecord(JSON.parse(text));
  } catch {
    throw invalid(path, 'it is not JSON');
  }
  const wrong = problemOf(document);
  if (wrong !== undefined) throw invalid(path, wrong);
  return document;
}

function problemOf(document: Body): string | undefined {
  if (document['apiVersion'] !== 'quiesce.dev/v1') return 'its apiVersion is not quiesce.dev/v1';
  if (document['kind'] !== 'Metadata') return 'its kind is not Metadata';
  const texts = ['id', 'engine', 'collectedAt', 'architecture'];
  const text = texts.find((name) => typeof document[name] !== 'string');
  if (text !== undefined) return `its ${text} is not text`;
  const { metadata, absent, truncated } = document;
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    return 'its metadata is not an object';
  }
  return Array.isArray(absent) && Array.isArray(truncated)
    ? undefined
    : 'absent or truncated is not a list';
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

function unreadable(path: string, error: unknown): QuiesceError {
  const code = codeOf(error);
  const denied = code === 'EACCES' || code === 'EPERM';
  return new QuiesceError('METADATA_INVALID', `${path} cannot be read (${code}).`, {
    field: '--data',
    ...(denied ? { hint: 'Run it as the owner of the data: no one else may read the file.' } : {}),
  });
}

function invalid(path: string, why: string): QuiesceError {
  return new QuiesceError('METADATA_INVALID', `${path} cannot be used: ${why}.`, {
    field: '--data',
  });
}
