import { QuiesceError } from '../../errors.ts';
import type { ApiAnswer, ClusterReader } from '../api/reader.ts';
import { counted } from '../../lib/counted.ts';
import { Catalog, type Inventory, type Unexamined } from './catalog.ts';
import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import type { PodFacts } from './pod-facts.ts';
import { type Resource, RESOURCES, resourceName } from './resources.ts';
import { survey } from './survey.ts';
import { webhooksOf, servingSecret } from './webhook.ts';

export interface ReadOptions {
  /** The namespaces to read; `undefined`: all. */
  readonly namespaces: readonly string[] | undefined;
  /** The namespace of Velero, which is read in addition to `namespaces`. */
  readonly veleroNamespace: string;
  readonly now: number;
  /** The Secrets that a pod depends on. If absent, no Secret is read, not even the webhook's. */
  readonly secretsOf?: (facts: PodFacts) => Iterable<{ readonly name: string }>;
  /** Called with a sentence that says what is being read. */
  progress(sentence: string): void;
}

const PAGE = 500;

/**
 * Reads the objects that the rules need from a cluster. Kinds that it may not read are listed in
 * `unexamined`, never silently left out. A kind that the cluster does not serve has no objects.
 *
 * @throws QuiesceError CLUSTER_UNREACHABLE, or USAGE for a namespace that does not exist
 */
export async function readCluster(reader: ClusterReader, options: ReadOptions): Promise<Inventory> {
  const read = new ClusterRead(reader, options);
  await read.reach();
  await Promise.all(RESOURCES.map((resource) => read.list(resource)));
  await read.webhooks();
  await read.policies();
  await read.secrets();
  return read.inventory();
}

/** One that may not be read counts as there. @throws QuiesceError USAGE */
export async function requireNamespaces(
  get: (path: string) => Promise<{ readonly status: number }>,
  namespaces: readonly string[],
): Promise<void> {
  for (const name of namespaces) {
    const { status } = await get(`/api/v1/namespaces/${name}`);
    if (status !== 404) continue;
    throw new QuiesceError('USAGE', `There is no namespace ${name}.`, {
      field: '--namespace',
      hint: 'Correct --namespace, or the namespace of the context.',
    });
  }
}

/** One reading of a cluster, kind by kind. */
export class ClusterRead {
  readonly #reader: ClusterReader;
  readonly #options: ReadOptions;
  readonly #objects: KubeObject[] = [];
  readonly #unexamined: Unexamined[] = [];

  constructor(reader: ClusterReader, options: ReadOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  inventory(): Inventory {
    const { namespaces, now } = this.#options;
    return {
      objects: this.#objects,
      scope: 'cluster',
      unexamined: this.#unexamined,
      namespaces,
      now,
    };
  }

  /** Checks that the API answers, accepts the credentials and has the namespaces asked for. */
  async reach(): Promise<void> {
    await this.get('/version');
    await requireNamespaces((path) => this.get(path), this.#options.namespaces ?? []);
  }

  async list(resource: Resource): Promise<void> {
    this.#options.progress(`reading ${resourceName(resource)}`);
    const { namespaces, veleroNamespace } = this.#options;
    if (!resource.namespaced || namespaces === undefined) {
      await this.listAt(resource, undefined);
      return;
    }
    const own = resource.ofVelero === 'only' ? [] : namespaces;
    const places = new Set([...own, ...(resource.ofVelero ? [veleroNamespace] : [])]);
    await Promise.all([...places].map((namespace) => this.listAt(resource, namespace)));
  }

  /** Reads what each webhook consists of, in any namespace: Service, endpoints, Deployment. */
  async webhooks(): Promise<void> {
    const { namespaces } = this.#options;
    for (const { serviceNamespace, serviceName } of webhooksOf(new Catalog(this.inventory()))) {
      if (serviceName === '') continue;
      const base = `/api/v1/namespaces/${serviceNamespace}/services/${serviceName}`;
      const { status, body } = await this.get(base);
      if (status === 200) this.keep({ apiVersion: 'v1', kind: 'Service' }, [body]);
      else if (status !== 404) this.#noteUnexamined('services', status, body, serviceNamespace);
      await this.listAt(ENDPOINT_SLICES, serviceNamespace, {
        labelSelector: `kubernetes.io/service-name=${serviceName}`,
      });
      const deployments = RESOURCES.find(({ plural }) => plural === 'deployments');
      if (namespaces === undefined || namespaces.includes(serviceNamespace) || !deployments)
        continue;
      await this.listAt(deployments, serviceNamespace);
    }
  }

  /** Reads the ConfigMaps with the volume policies that Schedules name. */
  async policies(): Promise<void> {
    const wanted = new Map(
      new Catalog(this.inventory()).all('Schedule.velero.io').flatMap((schedule) => {
        const name = textAt(schedule, 'spec', 'template', 'resourcePolicy', 'name');
        const namespace = schedule.metadata?.namespace ?? '';
        return name === undefined ? [] : [[`${namespace}/${name}`, { namespace, name }] as const];
      }),
    );
    for (const { namespace, name } of wanted.values()) {
      const path = `/api/v1/namespaces/${namespace}/configmaps/${name}`;
      const { status, body } = await this.get(path);
      if (status === 200) this.keep({ apiVersion: 'v1', kind: 'ConfigMap' }, [body]);
      else if (status !== 404) this.#noteUnexamined('configmaps', status, body, namespace, true);
    }
  }

  /** Reads Secrets, and keeps only the names of their keys and the webhook's certificate. */
  async secrets(): Promise<void> {
    const { secretsOf } = this.#options;
    if (secretsOf === undefined) return;
    const { around } = survey(this.inventory());
    const wanted = new Map<string, readonly [namespace: string, name: string, keep: boolean]>();
    const want = (namespace: string, name: string, keep: boolean): void =>
      void wanted.set(`${namespace}/${name}`, [namespace, name, keep]);
    for (const facts of around.facts) {
      for (const { name } of secretsOf(facts)) want(facts.workload.namespace, name, false);
    }
    for (const webhook of around.webhooks) {
      const name = servingSecret(webhook);
      if (name !== undefined) want(webhook.serviceNamespace, name, true);
    }
    this.#options.progress(`reading ${counted(wanted.size, 'Secret')}`);
    const refused = new Set<string>();
    for (const [namespace, name, keep] of wanted.values()) {
      if (refused.has(namespace)) continue;
      const { status, body } = await this.get(`/api/v1/namespaces/${namespace}/secrets/${name}`);
      if (status === 200) this.#objects.push(withoutValues(body, keep));
      if (status === 200 || status === 404) continue;
      refused.add(namespace);
      this.#noteUnexamined('secrets', status, body, namespace, true);
    }
  }

  /** Reads the objects of a kind in one namespace, or in all. */
  async listAt(
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
        ...resource.filter,
        ...filter,
        ...(token ? { continue: token } : {}),
      });
      const { status, body } = await this.get(`${root}${place}/${plural}?${query.toString()}`);
      if (status === 404) return;
      if (status !== 200) {
        this.#noteUnexamined(name, status, body, namespace, resource.optional);
        return;
      }
      this.keep({ apiVersion, kind }, listAt(body, 'items'));
      token = textAt(body, 'metadata', 'continue');
    } while (token);
  }

  /** The API version to read. `preferred` asks the cluster, for kinds whose version has changed. */
  async #versionOf({ group, version }: Resource): Promise<string | undefined> {
    if (version !== 'preferred') return version;
    const { status, body } = await this.get(`/apis/${group}`);
    return status === 200 ? textAt(body, 'preferredVersion', 'version') : undefined;
  }

  /** @throws QuiesceError CLUSTER_UNREACHABLE */
  async get(path: string): Promise<ApiAnswer> {
    const answer = await this.#reader.get(path).catch((error: unknown) => {
      const { code = '', message } = error as NodeJS.ErrnoException;
      const text = `${this.#reader.name} does not answer: ${code} ${message}`.trimEnd();
      throw new QuiesceError('CLUSTER_UNREACHABLE', `${text}.`, { cause: error });
    });
    if (answer.status !== 401) return answer;
    const message = `${this.#reader.name} refuses the credentials (401).`;
    throw new QuiesceError('CLUSTER_UNREACHABLE', message, {
      hint: 'They are wrong or have expired: log in again, or renew the token of the kubeconfig.',
    });
  }

  keep(type: { apiVersion: string; kind: string }, items: readonly unknown[]): void {
    for (const item of items) this.#objects.push({ ...(item as object), ...type });
  }

  #noteUnexamined(
    resource: string,
    status: number,
    body: unknown,
    namespace: string | undefined,
    optional = false,
  ): void {
    const message = textAt(body, 'message') ?? `the API answered ${status}`;
    const reason = message.replaceAll(/\s+/g, ' ').replace(/\.$/, '');
    const one = { resource, reason, optional };
    this.#unexamined.push(namespace === undefined ? one : { ...one, namespace });
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
