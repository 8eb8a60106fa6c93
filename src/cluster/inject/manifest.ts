import { type Document, isMap, isSeq, type Node } from 'yaml';
import { QuiesceError } from '../../errors.ts';
import { printDocument, readDocuments } from '../objects/yaml.ts';
import { BACKUP_HOOK } from './hooks.ts';
import { differences } from './application.ts';
import { ignoredNotice, inject, type Notice } from './inject.ts';
import { ANNOTATIONS, CONTAINER, INJECT_LABEL, hasQuiescePrefix } from '../objects/names.ts';
import { isOpenShift, type NamespaceRules, namespaceRules } from './namespace-rules.ts';
import type { InjectConfig } from './options.ts';
import { keysOf } from '../objects/json-patch.ts';
import { type Edit, editText } from '../objects/yaml-edit.ts';
import type { Pod } from '../objects/pod.ts';
import { normalizePod } from '../objects/normalize.ts';
import { readSettings } from './settings.ts';
import { ENDING_KINDS, findPods, type FoundPod, isPartial, operatorResource } from './templates.ts';

/** The result for one object of a manifest. */
export interface ManifestReport {
  /** `shop StatefulSet/db`. */
  readonly object: string;
  readonly outcome: 'injected' | 'unchanged' | 'skipped';
  readonly notices: readonly Notice[];
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
  const documents = readDocuments(text);
  const surroundings = new Surroundings(documents.map((one) => one.toJS() as unknown));
  for (const document of documents) {
    const object = document.toJS() as unknown;
    const pods = findPods(object);
    const all = pods.map((one) => injectOne(one, config, surroundings, problems));
    reports.push(...all.flatMap((one) => one?.report ?? []));
    if (pods.length === 0) reports.push(...operatorReports(object));
    const edits = all.flatMap((one) => one?.edits ?? []);
    const end = document.range[2];
    const source = text.slice(begin, end);
    printed += edits.length === 0 ? source : edited(document, source, { pods, edits, problems });
    begin = end;
  }
  if (problems.length > 0) {
    throw new QuiesceError('MANIFEST_INVALID', `${problems.join('; ')}.`);
  }
  return { text: printed + text.slice(begin), reports };
}

/** What the namespaces of a manifest demand, as far as the manifest says so. */
class Surroundings {
  readonly #objects: readonly unknown[];
  readonly #openshift: boolean;

  constructor(documents: readonly unknown[]) {
    this.#objects = documents.flatMap(objectsIn);
    this.#openshift = this.#objects.some((one) => {
      const { kind, apiVersion } = one as { kind?: unknown; apiVersion?: unknown };
      const group = String(apiVersion).split('/')[0] ?? '';
      return typeof kind === 'string' && isOpenShift(`${kind}.${group}`);
    });
  }

  rulesOf(namespace: string | undefined): NamespaceRules {
    const own = this.#objects.filter((one) => {
      const { kind, metadata } = one as { kind?: unknown; metadata?: Pod['metadata'] | null };
      const place = kind === 'Namespace' ? metadata?.name : metadata?.namespace;
      return place === namespace;
    });
    return namespaceRules(own, this.#openshift);
  }
}

function objectsIn(object: unknown): readonly unknown[] {
  if (typeof object !== 'object' || object === null) return [];
  const { kind, items } = object as { kind?: unknown; items?: unknown };
  return typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items)
    ? items.flatMap(objectsIn)
    : [object];
}

interface Injected {
  readonly report: ManifestReport;
  readonly edits: readonly Edit[];
}

function injectOne(
  found: FoundPod,
  config: InjectConfig,
  surroundings: Surroundings,
  problems: string[],
): Injected | undefined {
  const { object, path, given, workloadAnnotations } = found;
  const cannot = whyNot(found);
  if (cannot !== undefined) {
    return { report: { object, outcome: 'skipped', notices: [cannot] }, edits: [] };
  }
  const pod = normalizePod(given);
  const refused = findUnusable(given, pod);
  if (refused.length > 0) {
    for (const message of refused) problems.push(`${object}: ${message}`);
    return undefined;
  }
  const rules = surroundings.rulesOf(found.namespace);
  const result = inject(pod, config, rules);
  if (result.outcome === 'invalid') {
    for (const { field, message } of result.issues) problems.push(`${object}: ${field} ${message}`);
    return undefined;
  }
  if (result.outcome === 'skipped') {
    const notices = [{ code: result.code, message: result.message }];
    return { report: { object, outcome: 'skipped', notices }, edits: [] };
  }
  const outcome = result.patch.length > 0 ? 'injected' : 'unchanged';
  const notices = [
    ...workloadNotices(workloadAnnotations, pod),
    ...result.notices,
    ...userNotices(given, result.pod),
  ];
  return {
    report: { object, outcome, notices },
    edits: result.patch.map((operation) => ({
      ...operation,
      path: [...path, ...keysOf(operation.path)],
    })),
  };
}

function whyNot(found: FoundPod): Notice | undefined {
  if (ENDING_KINDS.test(found.kind)) {
    const message = `Pods of a ${found.kind} run to completion, and a sidecar would keep them running.`;
    return { code: 'RunsToCompletion', message };
  }
  if (found.kind === 'Pod' || found.path.length <= 2 || !isPartial(found)) return undefined;
  const message = `The template is only a part of a pod, which an operator completes: ${BY_WEBHOOK}.`;
  return { code: 'OperatorResource', message };
}

const BY_WEBHOOK = 'the webhook adds the sidecar when the operator creates the pods';

/** Custom resources whose operators make the pods: nothing in the manifest can have a sidecar. */
function operatorReports(document: unknown): readonly ManifestReport[] {
  return objectsIn(document).flatMap((one) => {
    const found = operatorResource(one);
    if (found === undefined) return [];
    const message = found.isLabelled
      ? `An operator makes its pods: ${BY_WEBHOOK}, if the label reaches them.`
      : `An operator makes its pods: give them the label ${INJECT_LABEL}: "true" through this resource, and ${BY_WEBHOOK}.`;
    const notices = [{ code: 'OperatorResource', message }];
    return [{ object: found.object, outcome: 'skipped' as const, notices }];
  });
}

/** Images that run as any user on OpenShift, which refuses the one they have elsewhere. */
const ANY_USER =
  /(?:^|\/)(?:sclorg|rhel\d+|rhscl|ubi\d+)\/|^registry\.(?:access\.)?redhat\.(?:io|com)\//;

/** A template, unlike a pod, does not show which user the platform has chosen. */
function userNotices(given: object, injected: Pod): readonly Notice[] {
  const declared = (given as Pod).spec?.securityContext?.runAsUser;
  const sidecar = injected.spec?.containers?.find(({ name }) => name === CONTAINER);
  const database = injected.spec?.containers?.find(
    ({ name }) => name === injected.metadata?.annotations?.[ANNOTATIONS.container],
  );
  const user = sidecar?.securityContext?.runAsUser;
  const known = declared ?? database?.securityContext?.runAsUser;
  if (user === undefined || known !== undefined || !ANY_USER.test(database?.image ?? '')) return [];
  const message = `runAsUser ${user} is that of the image, which OpenShift's restricted SCC refuses: there, inject with --run-as-user platform`;
  return [{ code: 'UserOfImage', message }];
}

interface Changes {
  readonly pods: readonly FoundPod[];
  readonly edits: readonly Edit[];
  readonly problems: string[];
}

/** The text of a document with the changes: in the text itself if possible, else printed anew. */
function edited(
  document: Document.Parsed,
  source: string,
  { pods, edits, problems }: Changes,
): string {
  try {
    for (const edit of edits) applyEdit(document, edit);
  } catch {
    const objects = [...new Set(pods.map(({ object }) => object))].join(', ');
    problems.push(
      `${objects}: a field to change is behind a YAML alias; replace the alias with its content`,
    );
    return source;
  }
  return editText(source, edits, document.toJS()) ?? printDocument(document, source);
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

/** Applies one change to the document's nodes. */
function applyEdit(document: Document.Parsed, edit: Edit): void {
  const path: (string | number)[] = [];
  for (const key of edit.path) {
    const parent = document.getIn(path, true) as Node | undefined;
    if (isSeq(parent)) path.push(key === '-' ? parent.items.length : Number(key));
    else path.push(key);
  }
  if (edit.op === 'remove') {
    document.deleteIn(path);
    return;
  }
  const value = document.createNode(edit.value, { aliasDuplicateObjects: false });
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
