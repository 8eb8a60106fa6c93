import { type Document, isMap, isSeq, type Node } from 'yaml';
import { QuiesceError } from '../../errors.ts';
import { printDocument, readDocuments } from '../objects/yaml.ts';
import { BACKUP_HOOK } from './hooks.ts';
import { differences } from './application.ts';
import { ignoredNotice, inject, type Notice } from './inject.ts';
import { INJECT_LABEL, hasQuiescePrefix } from '../objects/names.ts';
import type { InjectConfig } from './options.ts';
import { keysOf, type Operation } from '../objects/json-patch.ts';
import type { Pod } from '../objects/pod.ts';
import { normalizeMetadata, normalizePod } from '../objects/normalize.ts';
import { readSettings } from './settings.ts';

/** The result for one object of a manifest. */
export interface ManifestReport {
  /** `StatefulSet/db`. */
  readonly object: string;
  readonly outcome: 'injected' | 'unchanged' | 'skipped';
  readonly notices: readonly Notice[];
}

/** The path to the pod in an object of each kind. */
const POD_AT: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  StatefulSet: ['spec', 'template'],
  Deployment: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
};

type Path = readonly (string | number)[];

interface FoundPod {
  readonly kind: string;
  readonly name: string;
  readonly path: Path;
  /** The pod as the manifest has it. */
  readonly given: object;
  /** The annotations of the workload itself; empty if the object is a pod. */
  readonly workloadAnnotations: Readonly<Record<string, string>>;
}

/**
 * Injects into every opted-in pod template of a manifest. Text that needs no change stays byte for byte,
 * comments and order included.
 *
 * @throws QuiesceError MANIFEST_INVALID, with every problem, if the text is not YAML or an annotation is
 * invalid. Nothing is injected then.
 */
export function injectManifest(
  text: string,
  config: InjectConfig,
): { readonly text: string; readonly reports: readonly ManifestReport[] } {
  const problems: string[] = [];
  const reports: ManifestReport[] = [];
  let printed = '';
  let begin = 0;
  for (const document of readDocuments(text)) {
    const found = findPods(document.toJS() as unknown, []);
    const own = found.flatMap((one) => injectOne(document, one, config, problems) ?? []);
    reports.push(...own);
    const end = document.range[2];
    const changed = own.some(({ outcome }) => outcome === 'injected');
    const source = text.slice(begin, end);
    printed += changed ? printDocument(document, source) : source;
    begin = end;
  }
  if (problems.length > 0) {
    throw new QuiesceError('MANIFEST_INVALID', `${problems.join('; ')}.`);
  }
  return { text: printed + text.slice(begin), reports };
}

/** The pods of an object, or of all objects in a List. */
function findPods(object: unknown, path: Path): readonly FoundPod[] {
  if (typeof object !== 'object' || object === null) return [];
  const {
    kind = '',
    metadata,
    items,
  } = object as {
    kind?: string;
    metadata?: { name?: string; generateName?: string } | null;
    items?: unknown;
  };
  if (kind.endsWith('List') && Array.isArray(items)) {
    return items.flatMap((item, index) => findPods(item, [...path, 'items', index]));
  }
  const at = Object.hasOwn(POD_AT, kind) ? POD_AT[kind] : undefined;
  if (at === undefined) return [];
  let pod: unknown = object;
  for (const key of at) pod = (pod as Record<string, unknown> | undefined)?.[key];
  if (typeof pod !== 'object' || pod === null) return [];
  const name = metadata?.name ?? metadata?.generateName ?? '';
  const workloadAnnotations =
    at.length === 0 ? {} : (normalizeMetadata(metadata).annotations ?? {});
  return [{ kind, name, path: [...path, ...at], given: pod, workloadAnnotations }];
}

function injectOne(
  document: Document.Parsed,
  { kind, name, path, given, workloadAnnotations }: FoundPod,
  config: InjectConfig,
  problems: string[],
): ManifestReport | undefined {
  const object = `${kind}/${name}`;
  const pod = normalizePod(given);
  const refused = findUnusable(given, pod);
  if (refused.length > 0) {
    for (const message of refused) problems.push(`${object}: ${message}`);
    return undefined;
  }
  const result = inject(pod, config);
  if (result.outcome === 'invalid') {
    for (const { field, message } of result.issues) problems.push(`${object}: ${field} ${message}`);
    return undefined;
  }
  if (result.outcome === 'skipped') {
    return {
      object,
      outcome: 'skipped',
      notices: [{ code: result.code, message: result.message }],
    };
  }
  try {
    for (const operation of result.patch) applyOperation(document, path, operation);
  } catch {
    problems.push(
      `${object}: a field to change is behind a YAML alias; replace the alias with its content`,
    );
    return undefined;
  }
  const outcome = result.patch.length > 0 ? 'injected' : 'unchanged';
  return {
    object,
    outcome,
    notices: [...workloadNotices(workloadAnnotations, pod), ...result.notices],
  };
}

/** Checks the application's annotations on the workload, which the webhook never sees. */
function workloadNotices(
  workloadAnnotations: FoundPod['workloadAnnotations'],
  pod: Pod,
): readonly Notice[] {
  const { ignored } = readSettings(workloadAnnotations);
  const differing = differences(workloadAnnotations, pod.metadata?.annotations ?? {});
  return [
    ...ignored.map(ignoredNotice),
    ...differing.map(({ field, message }) => ({
      code: 'AnnotationsDiffer',
      message: `${field} ${message}`,
    })),
  ];
}

/** Problems of an opted-in pod that an API server would refuse, and that injection cannot work with. */
function findUnusable(given: object, pod: Pod): readonly string[] {
  const { labels, annotations } = pod.metadata ?? {};
  if (labels?.[INJECT_LABEL] !== 'true') return [];
  const { metadata, spec } = given as { metadata?: Pod['metadata']; spec?: Pod['spec'] };
  const unquoted = [metadata?.labels, metadata?.annotations]
    .flatMap((all) => Object.entries(all ?? {}))
    .filter(
      ([key, value]) =>
        (hasQuiescePrefix(key) || key.includes(BACKUP_HOOK)) && typeof value !== 'string',
    )
    .map(
      ([key]) => `${key} is ${labels[key] ?? annotations?.[key]}, without quotes; put it in quotes`,
    );
  const nameless = (['containers', 'initContainers', 'volumes'] as const)
    .filter((list) => (spec?.[list]?.length ?? 0) !== (pod.spec?.[list]?.length ?? 0))
    .map((list) => `spec.${list} has an element without a name`);
  return [...unquoted, ...nameless];
}

/** Applies one operation of the patch to the document's nodes. */
function applyOperation(document: Document.Parsed, base: Path, operation: Operation): void {
  const path: (string | number)[] = [...base];
  for (const key of keysOf(operation.path)) {
    const parent = document.getIn(path, true) as Node | undefined;
    if (isSeq(parent)) path.push(key === '-' ? parent.items.length : Number(key));
    else path.push(key);
  }
  if (operation.op === 'remove') {
    document.deleteIn(path);
    return;
  }
  const value = document.createNode(operation.value, { aliasDuplicateObjects: false });
  const parent = document.getIn(path.slice(0, -1), true);
  // Otherwise an empty list or map on one line would put the whole container on that line.
  if ((isMap(parent) || isSeq(parent)) && parent.flow === true && parent.items.length === 0) {
    parent.flow = false;
  }
  document.setIn(path, value);
}

/** The summary for the user: one line for each object, and one for each notice. */
export function formatReports(reports: readonly ManifestReport[]): string {
  const lines = reports.flatMap(({ object, outcome, notices }) => [
    `${object}: ${outcome}`,
    ...notices.map(({ message }) => `  ${message}`),
  ]);
  if (lines.length > 0) return lines.join('\n');
  return `Nothing to inject: no pod or pod template has the label ${INJECT_LABEL}: "true".`;
}
