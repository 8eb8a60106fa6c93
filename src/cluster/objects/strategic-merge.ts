/** The field that identifies an element of a list, by the name of the list, as in Kubernetes' API. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  env: 'name',
  volumes: 'name',
  imagePullSecrets: 'name',
  resourceClaims: 'name',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
  ports: 'containerPort',
  hostAliases: 'ip',
  topologySpreadConstraints: 'topologyKey',
};

type Fields = Readonly<Record<string, unknown>>;

/**
 * Kubernetes' strategic merge of a patch into a pod or a container: objects key by key, lists of the table
 * element by element, other lists as a whole. `null` removes a field, `$patch: delete` an element or a
 * field, `$patch: replace` takes the patch as it is.
 */
export function strategicMerge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const base: Fields = isObject(target) && patch['$patch'] !== 'replace' ? target : {};
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (key === '$patch') continue;
    if (value === null || isDeletion(value)) delete merged[key];
    else merged[key] = mergeField(key, base[key], value);
  }
  return merged;
}

function mergeField(key: string, before: unknown, value: unknown): unknown {
  const mergeKey = Object.hasOwn(MERGE_KEYS, key) ? MERGE_KEYS[key] : undefined;
  const elements: readonly unknown[] | undefined = Array.isArray(value) ? value : undefined;
  if (elements === undefined) return strategicMerge(before, value);
  if (mergeKey === undefined || !elements.every(isObject)) return elements;
  return mergeElements(Array.isArray(before) ? (before as unknown[]) : [], elements, mergeKey);
}

function mergeElements(
  before: readonly unknown[],
  patches: readonly Fields[],
  mergeKey: string,
): readonly unknown[] {
  const idOf = (one: unknown): unknown => (isObject(one) ? one[mergeKey] : undefined);
  const byId = new Map(patches.map((one) => [idOf(one), one]));
  const present = new Set(before.map(idOf));
  const kept = before.flatMap((one) => {
    const patch = byId.get(idOf(one));
    if (patch === undefined) return [one];
    return isDeletion(patch) ? [] : [strategicMerge(one, patch)];
  });
  const added = patches.filter((one) => !present.has(idOf(one)) && !isDeletion(one));
  return [...kept, ...added.map((one) => strategicMerge(undefined, one))];
}

function isDeletion(value: unknown): boolean {
  return isObject(value) && value['$patch'] === 'delete';
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
