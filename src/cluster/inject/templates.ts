import { INJECT_LABEL } from '../objects/names.ts';
import { normalizeMetadata } from '../objects/normalize.ts';

export type Path = readonly (string | number)[];

/** A pod or a pod template in an object of a manifest. */
export interface FoundPod {
  /** `shop StatefulSet/db`. */
  readonly object: string;
  readonly kind: string;
  readonly namespace: string | undefined;
  readonly path: Path;
  /** The pod as the manifest has it. */
  readonly given: object;
  /** The annotations of the workload itself; empty if the object is a pod. */
  readonly workloadAnnotations: Readonly<Record<string, string>>;
}

/** Kinds whose pods end, under which no sidecar may keep a pod running. */
export const ENDING_KINDS =
  /^(?:Job|CronJob|ScaledJob|JobSet|BroadcastJob|AdvancedCronJob|(?:Cron|ClusterWorkflow)?Workflow(?:Template)?|TaskRun|PipelineRun)$/;
/** How deep in an object a template is looked for. */
const LEVELS = 8;

type Fields = Readonly<Record<string, unknown>>;

/**
 * The pods of an object of any kind, or of all objects in a List: a Pod itself, and every pod template with
 * containers. A template that is deeper than `spec.template` counts only if it has the label.
 */
export function findPods(object: unknown, path: Path = []): readonly FoundPod[] {
  if (!isObject(object)) return [];
  const { kind, metadata, items } = object;
  if (typeof kind !== 'string') return [];
  if (kind.endsWith('List') && Array.isArray(items)) {
    return items.flatMap((item, index) => findPods(item, [...path, 'items', index]));
  }
  const found: readonly { at: Path; pod: Fields }[] =
    kind === 'Pod' ? [{ at: [], pod: object }] : templatesIn(object['spec'], ['spec'], LEVELS);
  const { annotations = {}, ...own } = normalizeMetadata(metadata);
  return found
    .filter(({ at, pod }) => at.length < 3 || isLabelled(pod))
    .filter(({ pod }) => !ENDING_KINDS.test(kind) || isLabelled(pod))
    .map(({ at, pod }) => ({
      object: objectName(object),
      kind,
      namespace: own.namespace,
      path: [...path, ...at],
      given: pod,
      workloadAnnotations: at.length === 0 ? {} : annotations,
    }));
}

function templatesIn(
  value: unknown,
  at: Path,
  levels: number,
): readonly { at: Path; pod: Fields }[] {
  if (levels === 0 || typeof value !== 'object' || value === null) return [];
  const spec = isObject(value) ? value['spec'] : undefined;
  if (isObject(value) && isObject(spec) && Array.isArray(spec['containers'])) {
    return [{ at, pod: value }];
  }
  return Object.entries(value).flatMap(([key, below]) =>
    templatesIn(below, [...at, Array.isArray(value) ? Number(key) : key], levels - 1),
  );
}

/** Whether an operator completes the template: none of its containers has an image. */
export function isPartial({ given }: FoundPod): boolean {
  const { spec } = given as { spec?: { containers?: unknown } };
  const containers: readonly unknown[] = Array.isArray(spec?.containers) ? spec.containers : [];
  return containers.every((one) => !isObject(one) || typeof one['image'] !== 'string');
}

/** Fields of a custom resource that say how many servers there are, and what they store. */
const SERVERS =
  /"(?:replicas|instances|members|clusterSize|numberOfInstances|replsets|nodeSets?|shards|size)":/;
const STORE =
  /"(?:storage|storageSize|storageClass(?:Name)?|volume(?:Claim)?(?:Template|Spec)?s?|volumeClaimTemplates?|persistence|persistent|dataVolumeClaimSpec|dataStorage|version|imageName)":/;

/** A custom resource whose operator makes pods with data, as far as its fields show; else `undefined`. */
export function operatorResource(
  object: unknown,
): { object: string; isLabelled: boolean } | undefined {
  if (!isObject(object)) return undefined;
  const { apiVersion, kind, spec } = object;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || !isCustom(apiVersion)) {
    return undefined;
  }
  const text = JSON.stringify(spec ?? {});
  const isLabelled = text.includes(`"${INJECT_LABEL}"`);
  if (!isLabelled && !(SERVERS.test(text) && STORE.test(text))) return undefined;
  return { object: objectName(object), isLabelled };
}

/** Kubernetes' own groups have no dot, or end in `.k8s.io`. */
function isCustom(apiVersion: string): boolean {
  const group = apiVersion.split('/')[0] ?? '';
  return apiVersion.includes('/') && group.includes('.') && !group.endsWith('.k8s.io');
}

function isLabelled(pod: Fields): boolean {
  return normalizeMetadata(pod['metadata']).labels?.[INJECT_LABEL] !== undefined;
}

function objectName(object: Fields): string {
  const { name, generateName, namespace } = normalizeMetadata(object['metadata']) as {
    name?: string;
    generateName?: string;
    namespace?: string;
  };
  const place = namespace === undefined ? '' : `${namespace} `;
  return `${place}${String(object['kind'])}/${name ?? generateName ?? ''}`;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
