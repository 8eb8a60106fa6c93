import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { QuiesceError } from '../../errors.ts';
import { documentsOf } from '../objects/yaml.ts';
import type { Inventory, Scope, Unexamined } from './catalog.ts';
import type { KubeObject } from '../objects/kube-object.ts';

const MANIFESTS = new Set(['.yaml', '.yml', '.json']);
const WORKLOADS = new Set(['StatefulSet', 'Deployment', 'DaemonSet', 'Pod', 'DeploymentConfig']);
/** Manifests that hold one of these next to workloads hold the whole platform. */
const PLATFORM = new Set([
  'MutatingWebhookConfiguration',
  'VolumeSnapshotClass',
  'StorageClass',
  'Schedule',
  'BackupStorageLocation',
]);

/**
 * Reads manifests: files, folders recursively, and `-` for standard input. A file may hold several
 * documents, and Lists.
 *
 * @throws QuiesceError MANIFEST_INVALID if a file cannot be read, if one that is named cannot be parsed, or if
 * there is no object at all: a file that was skipped would look like one without problems
 */
export async function readInventory(
  paths: readonly string[],
  options: { whole: boolean; namespaces: readonly string[] | undefined; now: number },
): Promise<Inventory> {
  const objects: KubeObject[] = [];
  const unread: Unread[] = [];
  for (const path of paths) {
    for (const file of await textsOf(path)) {
      if (!file.inFolder) objects.push(...parse(file.name, file.text));
      else readTolerantly(file, objects, unread);
    }
  }
  if (objects.length === 0 && unread.length === 0) {
    throw new QuiesceError('MANIFEST_INVALID', `There is no object in ${paths.join(', ')}.`, {
      hint: 'Give files, folders, or - with Kubernetes manifests in YAML or JSON.',
    });
  }
  const { namespaces, now } = options;
  const scope = options.whole ? 'cluster' : scopeOf(objects);
  return { objects, scope, unexamined: unexaminedOf(unread), namespaces, now };
}

interface Unread {
  readonly name: string;
  readonly reason: string;
  /** It is a template of a chart, and not meant to be a manifest. */
  readonly isTemplate: boolean;
}

/** In a folder there is more than manifests: what cannot be read is listed, and the rest is examined. */
function readTolerantly(file: ManifestFile, objects: KubeObject[], unread: Unread[]): void {
  try {
    objects.push(...parse(file.name, file.text));
  } catch (error) {
    const { message } = error as Error;
    const isTemplate = /\{\{[^}]*\}\}|\{%/.test(file.text);
    const reason = message.slice(message.indexOf('YAML: ') + 'YAML: '.length).replace(/\.$/, '');
    unread.push({ name: file.name, reason, isTemplate });
  }
}

/** One entry for all templates, and one for all other files. */
function unexaminedOf(unread: readonly Unread[]): readonly Unexamined[] {
  const listed = (some: readonly Unread[]): string => {
    const shown = some.slice(0, 3).map(({ name }) => name);
    const more = some.length > shown.length ? [`and ${some.length - shown.length} more`] : [];
    return [...shown, ...more].join(', ');
  };
  const [templates, broken] = [true, false].map((kind) =>
    unread.filter(({ isTemplate }) => isTemplate === kind),
  ) as [Unread[], Unread[]];
  return [
    ...(templates.length === 0
      ? []
      : [
          {
            resource: 'templates',
            reason: `${listed(templates)}: templates of a chart are no manifests; examine what helm template prints`,
            optional: true,
          },
        ]),
    ...(broken.length === 0
      ? []
      : [
          {
            resource: 'files',
            reason: `${listed(broken)}: not YAML (${broken[0]?.reason ?? ''})`,
            optional: false,
          },
        ]),
  ];
}

interface ManifestFile {
  readonly name: string;
  readonly text: string;
  readonly inFolder: boolean;
}

async function textsOf(path: string): Promise<readonly ManifestFile[]> {
  if (path === '-') {
    return [{ name: 'standard input', text: await readAll(process.stdin), inFolder: false }];
  }
  try {
    const inFolder = (await stat(path)).isDirectory();
    const files = inFolder ? await manifestsIn(path) : [path];
    return await Promise.all(
      files.map(async (name) => ({ name, text: await readFile(name, 'utf8'), inFolder })),
    );
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** The error for a file or folder of the user's that cannot be read. */
export function unreadable(path: string, error: unknown, field?: string): QuiesceError {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  return new QuiesceError('MANIFEST_INVALID', `${path} cannot be read (${code}).`, {
    hint:
      code === 'ENOENT'
        ? 'There is no such file or folder: correct the path.'
        : 'Check the path and its mode.',
    ...(field !== undefined && { field }),
  });
}

async function manifestsIn(folder: string): Promise<readonly string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .filter(({ name }) => MANIFESTS.has(extname(name).toLowerCase()))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  // A mounted ConfigMap has every file twice: as a link, and in the folder that the link points to.
  const byReal = new Map<string, string>();
  for (const path of paths) {
    const real = await realpath(path);
    if (!byReal.has(real) && (await stat(real)).isFile()) byReal.set(real, path);
  }
  return [...byReal.values()];
}

function parse(name: string, text: string): readonly KubeObject[] {
  return documentsOf(name, text).flatMap((document) => objectsIn(document.toJS() as unknown));
}

/** Objects, and the objects in Lists. Documents without a kind, such as values of a chart, are left out. */
function objectsIn(value: unknown): readonly KubeObject[] {
  if (typeof value !== 'object' || value === null) return [];
  const { kind, apiVersion, items } = value as {
    kind?: unknown;
    apiVersion?: unknown;
    items?: unknown;
  };
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return [];
  if (kind.endsWith('List') && Array.isArray(items)) {
    const item = { kind: kind.slice(0, -'List'.length), apiVersion };
    return (items as unknown[]).flatMap((one) =>
      objectsIn(kind === 'List' ? one : { ...item, ...(one as object) }),
    );
  }
  return [value as KubeObject];
}

function scopeOf(objects: readonly KubeObject[]): Scope {
  const has = (kinds: ReadonlySet<string>): boolean =>
    objects.some(({ kind = '' }) => kinds.has(kind));
  return has(WORKLOADS) && has(PLATFORM) ? 'set' : 'part';
}
