import {
  AdmissionregistrationV1Api,
  ApiException,
  CoreV1Api,
  createConfiguration,
  KubeConfig,
  PatchStrategy,
  ServerConfiguration,
  setHeaderOptions,
} from '@kubernetes/client-node';

/** A Secret as it was read. Writing with its version fails if another client has written it since. */
export interface StoredSecret {
  readonly version: string;
  readonly data: Readonly<Record<string, string>>;
}

/** The CA bundles of the webhooks in one configuration, as PEM and in their order. */
export interface StoredTrust {
  readonly version: string;
  readonly bundles: readonly string[];
}

/** An Event to report for an object. */
export interface ClusterEvent {
  readonly namespace: string;
  readonly about: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: 'Normal' | 'Warning';
  /** In CamelCase. */
  readonly reason: string;
  readonly message: string;
}

/** The calls that quiesce makes to the Kubernetes API. They reject if it is unreachable or refuses. */
export interface Cluster {
  /** `undefined`: there is no such Secret. */
  readSecret(namespace: string, name: string): Promise<StoredSecret | undefined>;
  /**
   * Replaces the Secret, or creates it if `version` is `undefined`.
   *
   * @returns false if another client has written or created it since
   */
  writeSecret(
    namespace: string,
    name: string,
    data: Readonly<Record<string, string>>,
    version: string | undefined,
  ): Promise<boolean>;
  /** `undefined`: there is no such MutatingWebhookConfiguration. */
  readTrust(configuration: string): Promise<StoredTrust | undefined>;
  /**
   * Sets the CA bundle of every webhook in the configuration.
   *
   * @returns false if the configuration has changed since `trust` was read
   */
  writeTrust(configuration: string, trust: StoredTrust, bundle: string): Promise<boolean>;
  createEvent(event: ClusterEvent): Promise<void>;
  /** The ResourceQuotas and LimitRanges of a namespace. */
  readDemands(namespace: string, withinMs: number): Promise<readonly object[]>;
}

const COMPONENT = 'quiesce-webhook';
/** After this time without an answer, a call has failed. */
export const ANSWER_WITHIN_MS = 30_000;

/** Uses the service account in a cluster, and KUBECONFIG elsewhere. Opens no connection yet. */
export function connectCluster(answerWithinMs = ANSWER_WITHIN_MS): Cluster {
  const config = new KubeConfig();
  config.loadFromDefault();
  return new ApiCluster(config, answerWithinMs);
}

class ApiCluster implements Cluster {
  readonly #core: CoreV1Api;
  readonly #admission: AdmissionregistrationV1Api;

  constructor(config: KubeConfig, answerWithinMs: number) {
    const server = config.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('the kubeconfig has no cluster');
    const configuration = createConfiguration({
      baseServer: new ServerConfiguration(server, {}),
      authMethods: { default: config },
      // The client has no timeout of its own: one lost answer would block a renewal until the certificate
      // expires.
      promiseMiddleware: [
        {
          pre: async (sent) => {
            sent.setSignal(AbortSignal.timeout(answerWithinMs));
            return sent;
          },
          post: async (answer) => answer,
        },
      ],
    });
    this.#core = new CoreV1Api(configuration);
    this.#admission = new AdmissionregistrationV1Api(configuration);
  }

  async readSecret(namespace: string, name: string): Promise<StoredSecret | undefined> {
    const secret = await orUndefined(404, this.#core.readNamespacedSecret({ namespace, name }));
    if (secret === undefined) return undefined;
    const data = Object.entries(secret.data ?? {}).map(
      ([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')] as const,
    );
    return { version: secret.metadata?.resourceVersion ?? '', data: Object.fromEntries(data) };
  }

  async writeSecret(
    namespace: string,
    name: string,
    data: Readonly<Record<string, string>>,
    version: string | undefined,
  ): Promise<boolean> {
    const labels = {
      'app.kubernetes.io/name': 'quiesce',
      'app.kubernetes.io/managed-by': 'quiesce',
    };
    const metadata = { name, namespace, labels };
    const base = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', stringData: data };
    const written =
      version === undefined
        ? this.#core.createNamespacedSecret({ namespace, body: { ...base, metadata } })
        : this.#core.replaceNamespacedSecret({
            namespace,
            name,
            body: { ...base, metadata: { ...metadata, resourceVersion: version } },
          });
    return (await orUndefined(409, written)) !== undefined;
  }

  async readTrust(name: string): Promise<StoredTrust | undefined> {
    const found = await orUndefined(
      404,
      this.#admission.readMutatingWebhookConfiguration({ name }),
    );
    if (found === undefined) return undefined;
    const bundles = (found.webhooks ?? []).map(({ clientConfig }) =>
      Buffer.from(clientConfig.caBundle ?? '', 'base64').toString('utf8'),
    );
    return { version: found.metadata?.resourceVersion ?? '', bundles };
  }

  async writeTrust(name: string, trust: StoredTrust, bundle: string): Promise<boolean> {
    const value = Buffer.from(bundle).toString('base64');
    const body = [
      { op: 'test', path: '/metadata/resourceVersion', value: trust.version },
      ...trust.bundles.map((_, index) => ({
        op: 'add',
        path: `/webhooks/${index}/clientConfig/caBundle`,
        value,
      })),
    ];
    // 422: the test failed. 409: another client wrote between the server's read and its patch.
    const patched = this.#admission.patchMutatingWebhookConfiguration(
      { name, body },
      setHeaderOptions('Content-Type', PatchStrategy.JsonPatch),
    );
    return (await orUndefined(422, orUndefined(409, patched))) !== undefined;
  }

  async readDemands(namespace: string, withinMs: number): Promise<readonly object[]> {
    const [quotas, ranges] = await within(
      withinMs,
      Promise.all([
        this.#core.listNamespacedResourceQuota({ namespace }),
        this.#core.listNamespacedLimitRange({ namespace }),
      ]),
    );
    return [
      ...quotas.items.map(({ metadata, spec, status }) => ({
        kind: 'ResourceQuota',
        metadata,
        spec,
        status,
      })),
      ...ranges.items.map(({ metadata, spec }) => ({
        kind: 'LimitRange',
        metadata,
        // The client renames fields that are reserved words.
        spec: { limits: spec?.limits.map((one) => Object.assign({ default: one._default }, one)) },
      })),
    ];
  }

  async createEvent(event: ClusterEvent): Promise<void> {
    const { namespace, about, type, reason, message } = event;
    const now = new Date();
    const created = this.#core.createNamespacedEvent({
      namespace,
      body: {
        metadata: { generateName: `${about.name}.`, namespace },
        involvedObject: { ...about, namespace },
        type,
        reason,
        message,
        source: { component: COMPONENT },
        reportingComponent: COMPONENT,
        reportingInstance: process.env['HOSTNAME'] ?? COMPONENT,
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      },
    });
    await created.catch((error: unknown) => {
      throw readable(error);
    });
  }
}

/** @throws Error if the calls take longer */
async function within<T>(ms: number, calls: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`the Kubernetes API did not answer within ${ms} ms`));
    }, ms);
  });
  try {
    return await Promise.race([calls, late]);
  } catch (error) {
    throw readable(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with `undefined`, instead of rejecting, if the API answers with this status. */
async function orUndefined<T>(code: number, call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ApiException && error.code === code) return undefined;
    throw readable(error);
  }
}

function readable(error: unknown): unknown {
  if (error instanceof ApiException) {
    const answer = `the Kubernetes API answered ${error.code}: ${reasonOf(error)}`;
    return new Error(answer, { cause: error });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new Error('the Kubernetes API did not answer in time', { cause: error });
  }
  return error;
}

/** The message of a Status, without the rest of the body, which may be long. */
function reasonOf({ body }: ApiException<unknown>): string {
  try {
    const status = (typeof body === 'string' ? JSON.parse(body) : body) as { message?: string };
    return status.message ?? 'no reason given';
  } catch {
    return 'no reason given';
  }
}
