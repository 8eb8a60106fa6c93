import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer } from '../api/reader.ts';
import { type Kind, type ObjectApi, reasonOf } from '../api/objects.ts';
import { type Stages, writeReleased, writeStages } from '../gates/stages.ts';
import { annotationsOf, type KubeObject, labelsOf } from '../objects/kube-object.ts';
import { RESTORE } from './names.ts';

export const NAMESPACES: Kind = { group: '', version: 'v1', plural: 'namespaces' };

/** Set by the cluster, or by a run: not the user's. */
const NOT_COPIED = new Set<string>([
  'kubernetes.io/metadata.name',
  'kubectl.kubernetes.io/last-applied-configuration',
  RESTORE.run,
  RESTORE.stages,
  RESTORE.released,
  RESTORE.lease,
]);
/** An object has at most 256 KiB of annotations, and Namespaces may have others. */
const MOST_BYTES = 200 * 1024;

/** Makes a namespace with the labels and annotations of the source's: Pod Security, quotas, meshes. */
export async function ensureNamespace(
  api: ObjectApi,
  name: string,
  like: KubeObject | undefined,
): Promise<void> {
  if ((await api.get(NAMESPACES, undefined, name)) !== undefined) return;
  const metadata = {
    name,
    labels: copied(labelsOf(like)),
    annotations: copied(annotationsOf(like)),
  };
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata };
  const answer = await api.send('POST', NAMESPACES, {}, body);
  if (answer.status !== 201 && answer.status !== 409) throw failed('created', name, answer);
}

function copied(given: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(given).filter(([key]) => !NOT_COPIED.has(key)));
}

export interface NamespaceMark {
  readonly run: string;
  /** `NAMESPACE/NAME`. */
  readonly lease: string;
  readonly stages: Stages;
  readonly released: ReadonlySet<number>;
}

/** From here on the webhook gates in this namespace. All of it is written at once. */
export async function markNamespace(
  api: ObjectApi,
  name: string,
  { run, lease, stages, released }: NamespaceMark,
): Promise<void> {
  const annotations = {
    [RESTORE.lease]: lease,
    [RESTORE.stages]: fitting(stages),
    [RESTORE.released]: writeReleased(released),
  };
  const body = { metadata: { labels: { [RESTORE.run]: run }, annotations } };
  const answer = await api.send('PATCH', NAMESPACES, { name }, body);
  if (answer.status !== 200) throw failed('marked', name, answer);
}

/** Names of pods are left out where there are too many: owners and labels tell of most. */
function fitting(stages: Stages): string {
  const text = writeStages(stages);
  if (Buffer.byteLength(text) <= MOST_BYTES) return text;
  const layers = stages.layers.map((all) =>
    all.map(({ pods, ...one }) => (one.selectors === undefined ? { ...one, pods } : one)),
  );
  return writeStages({ ...stages, layers });
}

/** Takes the marks of this run away. Another run's stay. */
export async function unmarkNamespace(api: ObjectApi, name: string, run: string): Promise<void> {
  const found = await api.get(NAMESPACES, undefined, name);
  if (found === undefined || labelsOf(found)[RESTORE.run] !== run) return;
  const gone = { [RESTORE.lease]: null, [RESTORE.stages]: null, [RESTORE.released]: null };
  const version = (found.metadata as { readonly resourceVersion?: string }).resourceVersion;
  const metadata = {
    ...(version !== undefined && { resourceVersion: version }),
    labels: { [RESTORE.run]: null },
    annotations: gone,
  };
  const answer = await api.send('PATCH', NAMESPACES, { name }, { metadata });
  if (answer.status === 409) return await unmarkNamespace(api, name, run);
  if (answer.status !== 200 && answer.status !== 404) throw failed('unmarked', name, answer);
}

/** The namespaces that carry the label of a run. */
export async function namespacesOf(api: ObjectApi, run: string): Promise<readonly KubeObject[]> {
  return (await api.list(NAMESPACES, undefined, `${RESTORE.run}=${run}`)) ?? [];
}

function failed(what: string, name: string, answer: ApiAnswer): QuiesceError {
  const text = `The namespace ${name} could not be ${what}: ${reasonOf(answer)}.`;
  return new QuiesceError('RESTORE_FAILED', text);
}
