import type { ClusterReader } from '../api/reader.ts';
import type { OwnerReference } from '../objects/pod.ts';
import type { Inventory } from './catalog.ts';
import { type KubeObject, listAt, namespaceOf, textAt, at } from '../objects/kube-object.ts';
import { ClusterRead } from './read-cluster.ts';
import type { Resource } from './resources.ts';

export interface ReadApplication {
  /** The namespaces to read; `undefined`: all. */
  readonly namespaces: readonly string[] | undefined;
  readonly resources: readonly Resource[];
  /** Kinds of custom resources to read, where the cluster serves them. */
  readonly custom: readonly { readonly group: string; readonly kind: string }[];
  /** Further namespaces that the objects refer to. They are read, too. */
  alsoIn(objects: readonly KubeObject[]): readonly string[];
  readonly now: number;
  readonly progress: (sentence: string) => void;
}

/**
 * Reads what an application consists of, with the custom resources that own its pods. What it may not
 * read is in `unexamined`.
 *
 * @throws QuiesceError CLUSTER_UNREACHABLE, or USAGE for a namespace that does not exist
 */
export async function readApplication(
  reader: ClusterReader,
  options: ReadApplication,
): Promise<Inventory> {
  const { namespaces, resources, now, progress } = options;
  const read = new ClusterRead(reader, { namespaces, veleroNamespace: '', now, progress });
  await read.reach();
  const discovery = new Discovery(read);
  const kinds = [...resources, ...(await discovery.served(options.custom))];
  await Promise.all(kinds.map((kind) => read.list(kind)));
  if (namespaces !== undefined) {
    const further = options.alsoIn(read.inventory().objects);
    const others = further.filter((one) => !namespaces.includes(one));
    await Promise.all(
      others.flatMap((namespace) =>
        kinds.filter((one) => one.namespaced).map((kind) => read.listAt(kind, namespace)),
      ),
    );
  }
  progress('reading what owns the pods');
  await readOwners(read, discovery);
  return read.inventory();
}

interface Api {
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

/** Asks the cluster once for each API group which kinds it serves. */
export class Discovery {
  readonly #read: ClusterRead;
  readonly #apis = new Map<string, Promise<readonly Api[]>>();

  constructor(read: ClusterRead) {
    this.#read = read;
  }

  async served(
    custom: readonly { readonly group: string; readonly kind: string }[],
  ): Promise<readonly Resource[]> {
    const { body } = await this.#read.get('/apis');
    const preferred = new Map(
      listAt(body, 'groups').map((one) => [
        textAt(one, 'name') ?? '',
        textAt(one, 'preferredVersion', 'version'),
      ]),
    );
    const found = custom.map(async ({ group, kind }): Promise<readonly Resource[]> => {
      const version = preferred.get(group);
      if (version === undefined) return [];
      const api = (await this.apis(`${group}/${version}`)).find((one) => one.kind === kind);
      return api === undefined ? [] : [{ ...api, group, version, why: 'members' }];
    });
    return (await Promise.all(found)).flat();
  }

  /** The kinds of one version of a group. */
  apis(version: string): Promise<readonly Api[]> {
    const known = this.#apis.get(version) ?? this.#ask(version);
    this.#apis.set(version, known);
    return known;
  }

  async #ask(version: string): Promise<readonly Api[]> {
    const { body } = await this.#read.get(`/apis/${version}`);
    return listAt(body, 'resources').flatMap((one) => {
      const [kind, plural] = [textAt(one, 'kind'), textAt(one, 'name')];
      if (kind === undefined || plural === undefined || plural.includes('/')) return [];
      return [{ kind, plural, namespaced: at(one, 'namespaced') === true }];
    });
  }
}

/** An owner may itself have an owner; no operator known has a longer chain. */
const LONGEST_CHAIN = 4;

/** Reads the custom resources that own what was read. One that cannot be read stays a name. */
export async function readOwners(read: ClusterRead, discovery: Discovery): Promise<void> {
  const asked = new Set<string>();
  for (let round = 0; round < LONGEST_CHAIN; round += 1) {
    const { objects } = read.inventory();
    const known = new Set(objects.map((one) => keyOf(one, namespaceOf(one))));
    const wanted = new Map<string, { owner: OwnerReference; namespace: string }>();
    for (const object of objects) {
      for (const owner of object.metadata?.ownerReferences ?? []) {
        const { apiVersion, name } = owner;
        const namespace = namespaceOf(object);
        const key = keyOf({ ...owner, metadata: { name } }, namespace);
        const custom = apiVersion.includes('.') && !apiVersion.startsWith('batch/');
        if (custom && !known.has(key) && !asked.has(key)) wanted.set(key, { owner, namespace });
        asked.add(key);
      }
    }
    if (wanted.size === 0) return;
    for (const { owner, namespace } of wanted.values()) {
      await readOwner(read, discovery, owner, namespace);
    }
  }
}

async function readOwner(
  read: ClusterRead,
  discovery: Discovery,
  { apiVersion, kind, name }: OwnerReference,
  namespace: string,
): Promise<void> {
  const api = (await discovery.apis(apiVersion)).find((one) => one.kind === kind);
  if (api === undefined) return;
  const place = api.namespaced ? `/namespaces/${namespace}` : '';
  const path = `/apis/${apiVersion}${place}/${api.plural}/${encodeURIComponent(name)}`;
  const { status, body } = await read.get(path);
  if (status === 200) read.keep({ apiVersion, kind }, [body]);
}

function keyOf({ apiVersion = '', kind = '', metadata }: KubeObject, namespace: string): string {
  return `${apiVersion.split('/')[0]} ${kind} ${namespace}/${metadata?.name ?? ''}`;
}
