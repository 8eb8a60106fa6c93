import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer, ChangeMethod, ClusterConnection } from './reader.ts';
import { type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { forbidden, type Right } from './rights.ts';

/** A kind of object, and where its API is. */
export interface Kind {
  /** `''` is the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

export const CLAIMS: Kind = { group: '', version: 'v1', plural: 'persistentvolumeclaims' };
export const VOLUMES: Kind = { group: '', version: 'v1', plural: 'persistentvolumes' };
export const PODS: Kind = { group: '', version: 'v1', plural: 'pods' };
export const CONFIG_MAPS: Kind = { group: '', version: 'v1', plural: 'configmaps' };
export const STORAGE_CLASSES: Kind = {
  group: 'storage.k8s.io',
  version: 'v1',
  plural: 'storageclasses',
};
const SNAPSHOT = { group: 'snapshot.storage.k8s.io', version: 'v1' };
export const SNAPSHOTS: Kind = { ...SNAPSHOT, plural: 'volumesnapshots' };
export const CONTENTS: Kind = { ...SNAPSHOT, plural: 'volumesnapshotcontents' };
export const CLASSES: Kind = { ...SNAPSHOT, plural: 'volumesnapshotclasses' };
const GROUP_API = 'groupsnapshot.storage.k8s.io';
export const groupSnapshots = (version: string): Kind => groupKind(version, '');
export const groupContents = (version: string): Kind => groupKind(version, 'contents');
export const groupClasses = (version: string): Kind => groupKind(version, 'classes');

function groupKind(version: string, part: '' | 'contents' | 'classes'): Kind {
  const plural = part === '' ? 'volumegroupsnapshots' : `volumegroupsnapshot${part}`;
  return { group: GROUP_API, version, plural };
}

/** How many requests are under way at a time. */
const AT_ONCE = 32;
const PAGE = 500;

/** Runs a step for each item, a bounded number at a time, and keeps the order of the results. */
export async function each<T, R>(
  items: readonly T[],
  step: (item: T) => Promise<R>,
  atOnce = AT_ONCE,
): Promise<readonly R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await step(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}

export function pathOf(kind: Kind, namespace?: string, name?: string): string {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const place = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${place}/${kind.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

/** Calls about objects. Each rejects with an error for users, which names the missing right. */
export class ObjectApi {
  readonly #connection: ClusterConnection;

  constructor(connection: ClusterConnection) {
    this.#connection = connection;
  }

  /** `undefined`: there is none, or its API is not served. */
  async get(
    kind: Kind,
    namespace: string | undefined,
    name: string,
  ): Promise<KubeObject | undefined> {
    const answer = await this.#ask('GET', pathOf(kind, namespace, name));
    if (answer.status === 404) return undefined;
    return this.#object(answer, rightOf('get', kind, namespace), `read ${name}`);
  }

  /** All objects; `undefined`: their API is not served. */
  async list(
    kind: Kind,
    namespace: string | undefined,
    labels?: string,
  ): Promise<readonly KubeObject[] | undefined> {
    const found: KubeObject[] = [];
    let token: string | undefined;
    do {
      const query = new URLSearchParams({
        limit: String(PAGE),
        ...(labels !== undefined && { labelSelector: labels }),
        ...(token !== undefined && token !== '' && { continue: token }),
      });
      const answer = await this.#ask('GET', `${pathOf(kind, namespace)}?${query.toString()}`);
      if (answer.status === 404) return undefined;
      const page = this.#object(answer, rightOf('list', kind, namespace), `list ${kind.plural}`);
      found.push(...(listAt(page, 'items') as KubeObject[]));
      token = textAt(page, 'metadata', 'continue');
    } while (token !== undefined && token !== '');
    return found;
  }

  /** In several namespaces, or in all of them. */
  async listIn(
    kind: Kind,
    namespaces: readonly string[] | undefined,
    labels?: string,
  ): Promise<readonly KubeObject[]> {
    const places = namespaces ?? [undefined];
    const lists = await each(places, (place) => this.list(kind, place, labels));
    return lists.flatMap((one) => one ?? []);
  }

  /** The answer of any status but those that every call refuses alike. */
  async send(
    method: ChangeMethod,
    kind: Kind,
    place: { readonly namespace?: string; readonly name?: string },
    body?: unknown,
  ): Promise<ApiAnswer> {
    const answer = await this.#ask(method, pathOf(kind, place.namespace, place.name), body);
    // Admission and quotas answer 403, too, but grant nothing.
    if (answer.status === 403 && /cannot \w+ resource/.test(reasonOf(answer))) {
      throw this.#forbidden(method, kind, place.namespace, answer);
    }
    return answer;
  }

  /** Any other call, such as one about the API itself. */
  async read(path: string): Promise<ApiAnswer> {
    return await this.#ask('GET', path);
  }

  async post(path: string, body: unknown): Promise<ApiAnswer> {
    return await this.#ask('POST', path, body);
  }

  async #ask(method: 'GET' | ChangeMethod, path: string, body?: unknown): Promise<ApiAnswer> {
    const { name } = this.#connection;
    const sent =
      method === 'GET' ? this.#connection.get(path) : this.#connection.send(method, path, body);
    const answer = await sent.catch((error: unknown) => {
      const { code = '', message } = error as NodeJS.ErrnoException;
      const text = `${name} does not answer: ${code} ${message}`.trimEnd();
      throw new QuiesceError('CLUSTER_UNREACHABLE', `${text}.`, { cause: error });
    });
    if (answer.status !== 401) return answer;
    throw new QuiesceError('CLUSTER_UNREACHABLE', `${name} refuses the credentials (401).`, {
      hint: 'They are wrong or have expired: log in again, or renew the token of the kubeconfig.',
    });
  }

  #object(answer: ApiAnswer, right: Right, what: string): KubeObject {
    if (answer.status === 403) throw forbidden([right], reasonOf(answer));
    if (answer.status === 200) return answer.body as KubeObject;
    const text = `${this.#connection.name} did not ${what}: ${reasonOf(answer)}`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', `${text}.`);
  }

  #forbidden(method: ChangeMethod, kind: Kind, namespace: string | undefined, answer: ApiAnswer) {
    const verb = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method];
    return forbidden([rightOf(verb, kind, namespace)], reasonOf(answer));
  }
}

/** The message of a Status, or its number. */
export function reasonOf({ status, body }: ApiAnswer): string {
  const message = textAt(body, 'message') ?? `the API answered ${status}`;
  return message.replaceAll(/\s+/g, ' ').replace(/\.$/, '').slice(0, 600);
}

export function rightOf(verb: string, { group, plural }: Kind, namespace?: string): Right {
  return { verb, group, resource: plural, ...(namespace !== undefined && { namespace }) };
}
