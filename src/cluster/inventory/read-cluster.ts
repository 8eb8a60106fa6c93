import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer, ClusterReader } from '../api/reader.ts';
import {
  at,
  Catalog,
  type Inventory,
  type KubeObject,
  listAt,
  textAt,
  type Unseen,
} from './catalog.ts';
import type { Facts } from './pod-facts.ts';
import { type Resource, RESOURCES, resourceName } from './resources.ts';
import { survey } from './survey.ts';
import { hooksOf, servingSecret } from './webhook.ts';

export interface LiveOptions {
  /** `undefined`: all. */
  readonly namespaces: readonly string[] | undefined;
  /** Where Velero is, when only some namespaces are looked at. */
  readonly veleroNamespace: string;
  readonly now: number;
  /** The Secrets that a pod depends on. Without it none is read, the webhook's neither. */
  readonly secretsOf?: (facts: Facts) => Iterable<{ readonly name: string }>;
  /** Told what is being read. */
  progress(sentence: string): void;
}

const PAGE = 500;

/**
 * Reads from a cluster what the rules need. What it may not read is in `unseen`, never left out in
 * silence; a kind that the cluster does not serve is simply not there.
 *
 * @throws QuiesceError CLUSTER_UNREACHABLE, or USAGE for a namespace that does not exist
 */
export async function readCluster(reader: ClusterReader, options: LiveOptions): Promise<Inventory> {
  const look = new Look(reader, options);
  await look.reach();
  await Promise.all(RESOURCES.map((resource) => look.list(resource)));
  await look.webhooks();
  await look.secrets();
  return look.inventory();
}

class Look {
  readonly #reader: ClusterReader;
  readonly #options: LiveOptions;
  readonly #objects: KubeObject[] = [];
  readonly #unseen: Unseen[] = [];

  constructor(reader: ClusterReader, options: LiveOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  inventory(): Inventory {
    const { namespaces, now } = this.#options;
    return { objects: this.#objects, scope: 'cluster', unseen: this.#unseen, namespaces, now };
  }

  /** Somebody answers, takes the credentials, and has the namespaces that were named. */
  async reach(): Promise<void> {
    await this.#get('/version');
    for (const name of this.#options.namespaces ?? []) {
      const { status } = await this.#get(`/api/v1/namespaces/${name}`);
      if (status !== 404) continue;
      throw new QuiesceError('USAGE', `There is no namespace ${name}.`, { field: '--namespace' });
    }
  }

  async list(resource: Resource): Promise<void> {
    this.#options.progress(`reading ${resourceName(resource)}`);
    const { namespaces, veleroNamespace } = this.#options;
    if (!resource.namespaced || namespaces === undefined) {
      await this.#listAt(resource, undefined);
      return;
    }
    const own = resource.ofVelero === 'only' ? [] : namespaces;
    const places = new Set([...own, ...(resource.ofVelero ? [veleroNamespace] : [])]);
    await Promise.all([...places].map((namespace) => this.#listAt(resource, namespace)));
  }

  /** What stands behind a webhook, wherever that is. */
  async webhooks(): Promise<void> {
    const { namespaces } = this.#options;
    for (const { serviceNamespace, serviceName } of hooksOf(new Catalog(this.inventory()))) {
      if (serviceName === '') continue;
      const base = `/api/v1/namespaces/${serviceNamespace}/services/${serviceName}`;
      const { status, body } = await this.#get(base);
      if (status === 200) this.#keep({ apiVersion: 'v1', kind: 'Service' }, [body]);
      else if (status !== 404) this.#refuse('services', status, body, serviceNamespace);
      await this.#listAt(ENDPOINT_SLICES, serviceNamespace, {
        labelSelector: `kubernetes.io/service-name=${serviceName}`,
      });
      const deployments = RESOURCES.find(({ plural }) => plural === 'deployments');
      if (namespaces === undefined || namespaces.includes(serviceNamespace) || !deployments)
        continue;
      await this.#listAt(deployments, serviceNamespace);
    }
  }

  /** The names of their keys, and of the webhook's its certificate: no other value is kept. */
  async secrets(): Promise<void> {
    const { secretsOf } = this.#options;
    if (secretsOf === undefined) return;
    const { around } = survey(this.inventory());
    const wanted = new Map<string, readonly [namespace: string, name: string, keep: boolean]>();
    const want = (namespace: string, name: string, keep: boolean): void =>
      void wanted.set(`${namespace}/${name}`, [namespace, name, keep]);
    for (const facts of around.facts) {
      for (const { name } of secretsOf(facts)) want(facts.subject.namespace, name, false);
    }
    for (const hook of around.hooks) {
      const name = servingSecret(hook);
      if (name !== undefined) want(hook.serviceNamespace, name, true);
    }
    this.#options.progress(`looking for ${wanted.size} Secrets`);
    const refused = new Set<string>();
    for (const [namespace, name, keep] of wanted.values()) {
      if (refused.has(namespace)) continue;
      const { status, body } = await this.#get(`/api/v1/namespaces/${namespace}/secrets/${name}`);
      if (status === 200) this.#objects.push(withoutValues(body, keep));
      if (status === 200 || status === 404) continue;
      refused.add(namespace);
      this.#refuse('secrets', status, body, namespace, true);
    }
  }

  async #listAt(
    resource: Resource,
    namespace: string | undefined,
    filter: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const { group, kind, plural } = resource;
    const name = resourceName(resource);
    const version = await this.#versionOf(resource);
    if (version === undefined) return;
    const apiVersion = group === '' ? version : `${group}/${version}`;
    const root = group === '' ? `/api/${version}` : `/apis/${apiVersion}`;
    const place = namespace === undefined ? '' : `/namespaces/${namespace}`;
    let token: string | undefined;
    do {
      const query = new URLSearchParams({
        limit: String(PAGE),
        ...filter,
        ...(token ? { continue: token } : {}),
      });
      const { status, body } = await this.#get(`${root}${place}/${plural}?${query.toString()}`);
      if (status === 404) return;
      if (status !== 200) {
        this.#refuse(name, status, body, namespace, resource.optional);
        return;
      }
      this.#keep({ apiVersion, kind }, listAt(body, 'items'));
      token = textAt(body, 'metadata', 'continue');
    } while (token);
  }

  /** The one that the cluster prefers, where there have been several. */
  async #versionOf({ group, version }: Resource): Promise<string | undefined> {
    if (version !== 'preferred') return version;
    const { status, body } = await this.#get(`/apis/${group}`);
    return status === 200 ? textAt(body, 'preferredVersion', 'version') : undefined;
  }

  async #get(path: string): Promise<ApiAnswer> {
    const answer = await this.#reader.get(path).catch((error: unknown) => {
      const { code = '', message } = error as NodeJS.ErrnoException;
      const text = `${this.#reader.name} does not answer: ${code} ${message}`.trimEnd();
      throw new QuiesceError('CLUSTER_UNREACHABLE', `${text}.`, { cause: error });
    });
    if (answer.status !== 401) return answer;
    const message = `${this.#reader.name} refuses the credentials (401).`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', message);
  }

  #keep(type: { apiVersion: string; kind: string }, items: readonly unknown[]): void {
    for (const item of items) this.#objects.push({ ...(item as object), ...type });
  }

  #refuse(
    resource: string,
    status: number,
    body: unknown,
    namespace: string | undefined,
    optional = false,
  ): void {
    const said = textAt(body, 'message') ?? `the API answered ${status}`;
    const reason = said.replaceAll(/\s+/g, ' ').replace(/\.$/, '');
    const one = { resource, reason, optional };
    this.#unseen.push(namespace === undefined ? one : { ...one, namespace });
  }
}

const ENDPOINT_SLICES: Resource = {
  group: 'discovery.k8s.io',
  version: 'v1',
  kind: 'EndpointSlice',
  plural: 'endpointslices',
  why: 'whether a replica of the webhook is ready',
  namespaced: true,
};

function withoutValues(body: unknown, keepCertificate: boolean): KubeObject {
  const data = (at(body, 'data') ?? {}) as Readonly<Record<string, string>>;
  const names = Object.keys(data).map((key) => [
    key,
    keepCertificate && key === 'tls.crt' ? data[key] : '',
  ]);
  const { metadata } = body as KubeObject;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    ...(metadata === undefined ? {} : { metadata }),
    data: Object.fromEntries(names) as Record<string, string>,
  };
}
