import { each, type Kind, type ObjectApi, reasonOf } from '../../api/objects.ts';
import { at, type KubeObject, labelsOf, listAt, textAt } from '../../objects/kube-object.ts';
import { createOnce, notCreated } from '../create-once.ts';
import type { RestoreProblem } from '../document.ts';
import { RESTORE } from '../names.ts';
import { namedObject } from './copies.ts';
import { rankOf } from './kinds.ts';

/** Asks the cluster once for each version of its API which kinds it serves. */
export class Served {
  readonly #api: ObjectApi;
  readonly #versions = new Map<string, Promise<ReadonlyMap<string, Kind>>>();

  constructor(api: ObjectApi) {
    this.#api = api;
  }

  /** `undefined`: the cluster does not serve it, or it has no namespace. */
  async kindOf({ apiVersion = 'v1', kind = '' }: KubeObject): Promise<Kind | undefined> {
    const known = this.#versions.get(apiVersion) ?? this.#ask(apiVersion);
    this.#versions.set(apiVersion, known);
    return (await known).get(kind);
  }

  async #ask(apiVersion: string): Promise<ReadonlyMap<string, Kind>> {
    const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
    const path = group === '' ? `/api/${version}` : `/apis/${apiVersion}`;
    const { status, body } = await this.#api.read(path);
    if (status !== 200) return new Map();
    const all = listAt(body, 'resources').filter((one) => at(one, 'namespaced') === true);
    return new Map(
      all.flatMap((one): [string, Kind][] => {
        const [kind, plural] = [textAt(one, 'kind'), textAt(one, 'name')];
        if (kind === undefined || plural === undefined || plural.includes('/')) return [];
        return [[kind, { group: group ?? '', version: version ?? '', plural }]];
      }),
    );
  }
}

/** The objects that the cluster has no kind for, as a problem of each kind. */
export async function notServed(
  api: ObjectApi,
  objects: readonly KubeObject[],
): Promise<readonly RestoreProblem[]> {
  const served = new Served(api);
  const found = new Map<string, RestoreProblem>();
  for (const object of objects) {
    if ((await served.kindOf(object)) !== undefined) continue;
    const { apiVersion = '', kind = '' } = object;
    found.set(`${apiVersion} ${kind}`, {
      code: 'KIND_NOT_SERVED',
      message: `The cluster does not serve ${kind} of ${apiVersion}, so it is not restored.`,
      hint: 'Install its definition and its operator, and begin anew.',
      object: namedObject(object),
    });
  }
  return [...found.values()];
}

/**
 * Creates the objects, those first that others need. It may be called again after it was killed. An object
 * of somebody else that has the name stays as it is, and is a problem.
 *
 * @throws QuiesceError RESTORE_NOT_CREATED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function createObjects(
  api: ObjectApi,
  objects: readonly KubeObject[],
  signal: AbortSignal,
): Promise<readonly RestoreProblem[]> {
  const served = new Served(api);
  const problems: RestoreProblem[] = [];
  const ranks = [...new Set(objects.map(({ kind = '' }) => rankOf(kind)))].toSorted(
    (a, b) => a - b,
  );
  for (const rank of ranks) {
    const some = objects.filter(({ kind = '' }) => rankOf(kind) === rank);
    const found = await each(some, (one) => createOne(api, served, one, signal));
    problems.push(...found.flat());
  }
  return problems;
}

async function createOne(
  api: ObjectApi,
  served: Served,
  object: KubeObject,
  signal: AbortSignal,
): Promise<readonly RestoreProblem[]> {
  const kind = await served.kindOf(object);
  if (kind === undefined) return [];
  if ((await createOnce(api, kind, object, signal)) !== 'taken') return [];
  if (isDefaultAccount(object)) return await addPullSecrets(api, kind, object);
  const message = 'An object of this name was there before, and stays as it is.';
  return [{ code: 'OBJECT_EXISTS', message, object: namedObject(object) }];
}

/** The cluster makes it in each namespace. */
function isDefaultAccount({ kind, metadata }: KubeObject): boolean {
  return kind === 'ServiceAccount' && metadata?.name === 'default';
}

async function addPullSecrets(
  api: ObjectApi,
  kind: Kind,
  object: KubeObject,
): Promise<readonly RestoreProblem[]> {
  const imagePullSecrets = listAt(object, 'imagePullSecrets');
  if (imagePullSecrets.length === 0) return [];
  const { namespace = '', name = '' } = object.metadata ?? {};
  const labels = { [RESTORE.run]: labelsOf(object)[RESTORE.run] };
  const body = { metadata: { labels }, imagePullSecrets };
  const answer = await api.send('PATCH', kind, { namespace, name }, body);
  if (answer.status === 200) return [];
  throw notCreated(object, reasonOf(answer));
}
