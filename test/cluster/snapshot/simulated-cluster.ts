import { randomUUID } from 'node:crypto';
import type {
  ApiAnswer,
  ChangeMethod,
  ClusterConnection,
} from '../../../src/cluster/api/reader.ts';
import { type KubeObject, textAt } from '../../../src/cluster/objects/kube-object.ts';
import { keysOf } from '../../../src/cluster/objects/json-patch.ts';

export const GROUP_API = 'groupsnapshot.storage.k8s.io';

interface Stored extends KubeObject {
  metadata: NonNullable<KubeObject['metadata']> & { creationTimestamp?: string };
}

interface Place {
  readonly api: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
}

/** A call that is about to be made. Throw to break the connection; return an answer to give it instead. */
export type Intercept = (method: string, path: string) => ApiAnswer | undefined;

/**
 * A simulated API server: it keeps objects, knows uids, label selectors, merge patches and preconditions,
 * and plays the snapshot controllers. Nothing of it is Kubernetes itself; `cluster.kubernetes.test.ts`
 * tests against that.
 */
export class SimulatedCluster implements ClusterConnection {
  readonly name = 'simulated';
  readonly namespace = 'shop';
  readonly #objects = new Map<string, Stored>();
  readonly calls: string[] = [];
  /** Served versions of group snapshots. */
  groupVersions: readonly string[] = [];
  servesSnapshots = true;
  /** Of the contents that the controllers make. */
  deletionPolicy: 'Delete' | 'Retain' = 'Delete';
  /** Rights that are denied: `create volumesnapshots`. */
  denied: readonly string[] = [];
  intercept: Intercept | undefined;
  /** What the controllers make of a new snapshot; by default they bind, cut and say it is ready. */
  onSnapshot: ((snapshot: KubeObject, cluster: SimulatedCluster) => void) | undefined = (one) =>
    this.bind(one);
  onGroup: ((group: KubeObject, cluster: SimulatedCluster) => void) | undefined = (one) =>
    this.bindGroup(one);

  readonly get = (path: string): Promise<ApiAnswer> => this.#answer('GET', path, undefined);

  readonly send = (method: ChangeMethod, path: string, body?: unknown): Promise<ApiAnswer> =>
    this.#answer(method, path, body);

  readonly run = (): Promise<never> => Promise.reject(new Error('nothing runs here'));

  /** Puts an object there, as another client would. */
  put(path: string, object: object): KubeObject {
    const [root, name] = splitLast(path);
    const given = object as KubeObject;
    const namespace = placeOf(root).namespace;
    const metadata = {
      uid: randomUUID(),
      creationTimestamp: new Date().toISOString(),
      ...(namespace !== undefined && { namespace }),
      ...given.metadata,
      name,
    };
    const stored = { ...given, metadata } as Stored;
    this.#objects.set(path, stored);
    return stored;
  }

  read(path: string): KubeObject | undefined {
    return this.#objects.get(path);
  }

  remove(path: string): void {
    this.#objects.delete(path);
  }

  change(path: string, patch: object): void {
    const found = this.#objects.get(path);
    if (found !== undefined) this.#objects.set(path, merge(found, patch) as Stored);
  }

  /** Objects of a kind, in all namespaces. */
  all(plural: string): readonly KubeObject[] {
    return [...this.#objects].flatMap(([path, one]) =>
      placeOf(path).plural === plural ? [one] : [],
    );
  }

  async #answer(method: string, path: string, body: unknown): Promise<ApiAnswer> {
    await new Promise((resolve) => setImmediate(resolve));
    this.calls.push(`${method} ${path}`);
    const instead = this.intercept?.(method, path);
    if (instead !== undefined) return instead;
    const [plain = '', query = ''] = path.split('?');
    if (plain.endsWith('/selfsubjectaccessreviews')) return this.#review(body);
    if (plain === `/apis/${GROUP_API}`) return this.#versions();
    const place = placeOf(plain);
    if (!this.servesSnapshots && place.api === 'snapshot.storage.k8s.io/v1') return status(404);
    if (method === 'GET') return this.#read(plain, place, new URLSearchParams(query));
    if (method === 'POST') return this.#create(plain, body as KubeObject);
    const found = this.#objects.get(plain);
    if (found === undefined) return status(404);
    const uid =
      (body as KubeObject | undefined)?.metadata?.uid ??
      (body as { preconditions?: { uid?: string } } | undefined)?.preconditions?.uid;
    if (uid !== undefined && uid !== found.metadata.uid) return status(409, 'uid mismatch');
    if (method === 'DELETE') return this.#delete(plain, found);
    const version = (body as { metadata?: { resourceVersion?: string } }).metadata?.resourceVersion;
    const stored = (found.metadata as { resourceVersion?: string }).resourceVersion;
    if (version !== undefined && stored !== undefined && version !== stored) return status(409);
    const changed = Array.isArray(body) ? patched(found, body as Operation[]) : merge(found, body);
    if (changed === undefined) return status(422, 'the patch does not apply');
    this.#objects.set(plain, changed as Stored);
    return { status: 200, body: this.#objects.get(plain) };
  }

  #review(body: unknown): ApiAnswer {
    const { spec } = body as { spec: { resourceAttributes: { verb: string; resource: string } } };
    const { verb, resource } = spec.resourceAttributes;
    return {
      status: 201,
      body: { status: { allowed: !this.denied.includes(`${verb} ${resource}`) } },
    };
  }

  #versions(): ApiAnswer {
    if (this.groupVersions.length === 0) return status(404);
    return { status: 200, body: { versions: this.groupVersions.map((version) => ({ version })) } };
  }

  #read(path: string, { name, plural, namespace }: Place, query: URLSearchParams): ApiAnswer {
    if (name !== undefined) {
      const found = this.#objects.get(path);
      return found === undefined ? status(404) : { status: 200, body: structuredClone(found) };
    }
    const selector = (query.get('labelSelector') ?? '').split(',').filter(Boolean);
    const items = [...this.#objects].flatMap(([key, one]) => {
      const place = placeOf(key);
      if (place.plural !== plural) return [];
      if (namespace !== undefined && place.namespace !== namespace) return [];
      const matches = selector.every((term) => {
        const [label = '', value] = term.split('=');
        const own = one.metadata.labels?.[label];
        return value === undefined ? own !== undefined : own === value;
      });
      return matches ? [structuredClone(one)] : [];
    });
    return { status: 200, body: { items } };
  }

  #create(path: string, body: KubeObject): ApiAnswer {
    const full = `${path}/${body.metadata?.name ?? ''}`;
    if (this.#objects.has(full)) return status(409, 'already exists');
    const stored = this.put(full, structuredClone(body));
    if (path.endsWith('/volumesnapshots')) this.onSnapshot?.(stored, this);
    if (path.endsWith('/volumegroupsnapshots')) this.onGroup?.(stored, this);
    return { status: 201, body: structuredClone(stored) };
  }

  #delete(path: string, found: Stored): ApiAnswer {
    this.#objects.delete(path);
    for (const [key, one] of this.#objects) {
      if (one.metadata.ownerReferences?.some(({ uid }) => uid === found.metadata.uid)) {
        this.#objects.delete(key);
      }
    }
    return { status: 200, body: {} };
  }

  /** A claim that is bound to a volume of a driver. */
  claim(namespace: string, name: string, driver: string, more: object = {}): KubeObject {
    const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`;
    const volume = `pv-${namespace}-${name}`;
    const made = this.put(path, {
      spec: { volumeName: volume },
      status: { phase: 'Bound', capacity: { storage: '1Gi' } },
      ...more,
    });
    this.put(`/api/v1/persistentvolumes/${volume}`, {
      spec: {
        claimRef: { namespace, name, uid: made.metadata?.uid },
        csi: { driver, volumeHandle: `handle-${volume}` },
      },
    });
    return made;
  }

  snapshotClass(name: string, driver: string, more: object = {}): void {
    const path = `/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses/${name}`;
    this.put(path, { driver, deletionPolicy: 'Delete', ...more });
  }

  groupClass(name: string, driver: string, more: object = {}): void {
    const version = this.groupVersions[0] ?? 'v1';
    const path = `/apis/${GROUP_API}/${version}/volumegroupsnapshotclasses/${name}`;
    this.put(path, { driver, deletionPolicy: 'Delete', ...more });
  }

  /** Plays both controllers: a content, bound both ways, that is cut and ready. */
  bind(snapshot: KubeObject, status: object = {}): void {
    const { namespace = '', name = '', uid } = snapshot.metadata ?? {};
    const path = snapshotPath(namespace, name);
    const existing = textAt(snapshot, 'spec', 'source', 'volumeSnapshotContentName');
    if (existing !== undefined) {
      // It stands for what the storage has already: nothing is cut.
      this.change(contentPath(existing), { spec: { volumeSnapshotRef: { uid } } });
      this.change(path, {
        status: { boundVolumeSnapshotContentName: existing, readyToUse: true, ...status },
      });
      return;
    }
    const claim = claimNameOf(snapshot);
    const volume = this.read(`/api/v1/persistentvolumes/pv-${namespace}-${claim}`) as
      { spec: { csi: { driver: string; volumeHandle: string } } } | undefined;
    const { driver = '', volumeHandle = '' } = volume?.spec.csi ?? {};
    const content = `content-${uid ?? ''}`;
    this.put(contentPath(content), {
      spec: {
        driver,
        deletionPolicy: this.deletionPolicy,
        source: { volumeHandle },
        volumeSnapshotRef: { namespace, name, uid },
      },
      status: { snapshotHandle: `cut-${content}`, creationTime: Date.now() * 1e6 },
    });
    const time = new Date().toISOString();
    const bound = { boundVolumeSnapshotContentName: content, creationTime: time };
    this.change(path, { status: { ...bound, readyToUse: true, restoreSize: '1Gi', ...status } });
  }

  /** Plays the controllers of group snapshots: a member of each claim that the selector matches. */
  bindGroup(group: KubeObject): void {
    const { namespace = '', name = '', uid = '' } = group.metadata ?? {};
    const { source } = group['spec'] as {
      source: { selector: { matchLabels: Record<string, string> } };
    };
    const [[label, value] = ['', '']] = Object.entries(source.selector.matchLabels);
    const claims = this.all('persistentvolumeclaims').filter(
      ({ metadata }) => metadata?.namespace === namespace && metadata.labels?.[label] === value,
    );
    const version = group.apiVersion?.split('/')[1] ?? 'v1';
    const driver = (
      this.read(`/api/v1/persistentvolumes/pv-${namespace}-${claims[0]?.metadata?.name ?? ''}`) as
        { spec: { csi: { driver: string } } } | undefined
    )?.spec.csi.driver;
    this.put(`/apis/${GROUP_API}/${version}/volumegroupsnapshotcontents/group-${uid}`, {
      spec: {
        driver,
        deletionPolicy: this.deletionPolicy,
        volumeGroupSnapshotRef: { namespace, name, uid },
      },
      status: { volumeGroupSnapshotHandle: 'g', creationTime: new Date().toISOString() },
    });
    this.change(
      `/apis/${GROUP_API}/${version}/namespaces/${namespace}/volumegroupsnapshots/${name}`,
      {
        status: { boundVolumeGroupSnapshotContentName: `group-${uid}` },
      },
    );
    for (const { metadata } of claims) {
      const ownerReferences = [
        { apiVersion: `${GROUP_API}/${version}`, kind: 'VolumeGroupSnapshot', name, uid },
      ];
      const member = this.put(snapshotPath(namespace, `snapshot-${uid}-${metadata?.name ?? ''}`), {
        metadata: { namespace, ownerReferences },
        spec: { source: { persistentVolumeClaimName: metadata?.name } },
      });
      this.bind(member);
    }
  }
}

export function snapshotPath(namespace: string, name: string): string {
  return `/apis/snapshot.storage.k8s.io/v1/namespaces/${namespace}/volumesnapshots/${name}`;
}

export function contentPath(name: string): string {
  return `/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/${name}`;
}

export function claimNameOf(snapshot: KubeObject): string {
  const { source } = snapshot['spec'] as { source: { persistentVolumeClaimName: string } };
  return source.persistentVolumeClaimName;
}

export function status(code: number, message = `answered ${code}`): ApiAnswer {
  return { status: code, body: { kind: 'Status', message } };
}

function splitLast(path: string): readonly [string, string] {
  const index = path.lastIndexOf('/');
  return [path.slice(0, index), path.slice(index + 1)];
}

function placeOf(path: string): Place {
  const [, root = '', ...rest] = path.split('/');
  const api = root === 'api' ? (rest.shift() ?? '') : `${rest.shift() ?? ''}/${rest.shift() ?? ''}`;
  const namespaced = rest[0] === 'namespaces' && rest.length > 2;
  const [plural = '', name] = namespaced ? rest.slice(2) : rest;
  return { api, namespace: namespaced ? rest[1] : undefined, plural, name };
}

type Operation = { readonly op: string; readonly path: string; readonly value?: unknown };

/** A JSON patch of `test` and `remove` (RFC 6902); `undefined`: it does not apply. */
function patched(target: Stored, operations: readonly Operation[]): unknown {
  const result = structuredClone(target) as unknown;
  for (const { op, path, value } of operations) {
    const keys = keysOf(path);
    const last = keys.at(-1) ?? '';
    const parent = keys.slice(0, -1).reduce<unknown>((found, key) => {
      return typeof found === 'object' && found !== null ? found[key as never] : undefined;
    }, result);
    if (typeof parent !== 'object' || parent === null || !(last in parent)) return undefined;
    if (op === 'test' && parent[last as never] !== value) return undefined;
    if (op !== 'remove') continue;
    if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else delete parent[last as never];
  }
  return result;
}

/** A JSON merge patch (RFC 7386). */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = {
    ...(typeof target === 'object' && target !== null ? target : {}),
  };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}
