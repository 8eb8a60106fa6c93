import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { type RequestOptions, request } from 'node:https';
import { request as requestPlain } from 'node:http';
import {
  AdmissionregistrationV1Api,
  ApiException,
  CoreV1Api,
  createConfiguration,
  Exec,
  KubeConfig,
  PatchStrategy,
  ServerConfiguration,
  setHeaderOptions,
} from '@kubernetes/client-node';
import { Deferred } from '../../lib/deferred.ts';

/** A Secret as it was read: writing it back fails where somebody has written it since. */
export interface StoredSecret {
  readonly version: string;
  readonly data: Readonly<Record<string, string>>;
}

/** The trust that the API server puts into the webhooks of one configuration, in their order. */
export interface StoredTrust {
  readonly version: string;
  readonly bundles: readonly string[];
}

/** What is told of an object, to whoever looks at it. */
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

/** What quiesce asks of the Kubernetes API. Calls reject where it cannot be reached or refuses. */
export interface Cluster {
  /** `undefined`: there is none. */
  readSecret(namespace: string, name: string): Promise<StoredSecret | undefined>;
  /** @returns whether it was written: not where somebody has written it since, or was first. */
  writeSecret(
    namespace: string,
    name: string,
    data: Readonly<Record<string, string>>,
    version: string | undefined,
  ): Promise<boolean>;
  /** `undefined`: there is no such MutatingWebhookConfiguration. */
  readTrust(configuration: string): Promise<StoredTrust | undefined>;
  /** Sets the CA bundle of every webhook in it. @returns false where it has changed since. */
  writeTrust(configuration: string, trust: StoredTrust, bundle: string): Promise<boolean>;
  createEvent(event: ClusterEvent): Promise<void>;
}

const COMPONENT = 'quiesce-webhook';
const ANSWER_WITHIN_MS = 30_000;

/** By the service account in a cluster, by KUBECONFIG elsewhere. Connects to nobody yet. */
export function connectCluster(answerWithinMs = ANSWER_WITHIN_MS): Cluster {
  const config = new KubeConfig();
  config.loadFromDefault();
  return new ApiCluster(config, answerWithinMs);
}

/** Which cluster, for whoever runs a command: KUBECONFIG's current context where nothing is said. */
export interface ClusterChoice {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** One answer of the Kubernetes API. */
export interface ApiAnswer {
  readonly status: number;
  /** Parsed; `undefined` where it is no JSON. */
  readonly body: unknown;
}

/** Where a command is run. */
export interface ExecPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** What it printed: standard output and standard error. Its exit code says nothing more. */
export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

/** Reads, and changes nothing. */
export interface ClusterReader {
  /** The context, and the address of its server. */
  readonly name: string;
  /** Any status is an answer. Rejects where nobody answers within half a minute. */
  get(path: string): Promise<ApiAnswer>;
  /** Runs a command that changes nothing, for half a minute at most. Rejects where it cannot be run. */
  run(place: ExecPlace, command: readonly string[]): Promise<Printed>;
}

/** @throws Error where the kubeconfig cannot be read or has no such context. Connects to nobody yet. */
export function connectReader({ kubeconfig, context }: ClusterChoice): ClusterReader {
  const config = new KubeConfig();
  if (kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromFile(kubeconfig);
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      const known = config.getContexts().map(({ name }) => name);
      throw new Error(`there is no context ${context} (${known.join(', ') || 'there are none'})`);
    }
    config.setCurrentContext(context);
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('there is no cluster in the kubeconfig');
  return {
    name: `${config.getCurrentContext()}, ${server}`,
    get: (path) => ask(config, server, path),
    run: (place, command) => runIn(config, place, command),
  };
}

async function ask(config: KubeConfig, server: string, path: string): Promise<ApiAnswer> {
  const options: RequestOptions = { headers: { accept: 'application/json' } };
  await config.applyToHTTPSOptions(options);
  const url = new URL(`${server.replace(/\/$/, '')}${path}`);
  return await new Promise((resolve, reject) => {
    const start = url.protocol === 'http:' ? requestPlain : request;
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const sent = start(url, { ...options, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('error', reject);
      answer.on('end', () => {
        const status = answer.statusCode ?? 0;
        try {
          resolve({ status, body: JSON.parse(text) as unknown });
        } catch {
          resolve({ status, body: undefined });
        }
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function runIn(
  config: KubeConfig,
  { namespace, pod, container }: ExecPlace,
  command: readonly string[],
): Promise<Printed> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const printed = Promise.all([readAll(stdout), readAll(stderr)]);
  const ended = new Deferred<undefined>();
  const late = setTimeout(() => {
    ended.reject(new Error('it did not end within half a minute'));
  }, ANSWER_WITHIN_MS);
  try {
    const words = [...command];
    const exec = new Exec(config);
    const socket = await Promise.race([
      exec.exec(namespace, pod, container, words, stdout, stderr, null, false, () => {
        ended.resolve(undefined);
      }),
      ended.promise,
    ]);
    socket?.on('close', () => {
      ended.resolve(undefined);
    });
    await ended.promise;
    socket?.close();
  } catch (error) {
    // The client rejects with the event of its socket, which is no Error.
    const { message = 'the connection failed' } = error as { message?: string };
    throw new Error(message, { cause: error });
  } finally {
    clearTimeout(late);
    stdout.end();
    stderr.end();
  }
  const [out, err] = await printed;
  return { stdout: out, stderr: err };
}

class ApiCluster implements Cluster {
  readonly #core: CoreV1Api;
  readonly #admission: AdmissionregistrationV1Api;

  constructor(config: KubeConfig, answerWithinMs: number) {
    const server = config.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('there is no cluster in the kubeconfig');
    const configuration = createConfiguration({
      baseServer: new ServerConfiguration(server, {}),
      authMethods: { default: config },
      // The client waits for ever: a certificate whose renewal hangs on one lost answer would expire.
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
    // A failed test is 422; a write between reading and patching is 409.
    const patched = this.#admission.patchMutatingWebhookConfiguration(
      { name, body },
      setHeaderOptions('Content-Type', PatchStrategy.JsonPatch),
    );
    return (await orUndefined(422, orUndefined(409, patched))) !== undefined;
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

/** One certain status is an answer, not a failure. */
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

/** The sentence of a Status; its whole body may be long. */
function reasonOf({ body }: ApiException<unknown>): string {
  try {
    const status = (typeof body === 'string' ? JSON.parse(body) : body) as { message?: string };
    return status.message ?? 'no reason given';
  } catch {
    return 'no reason given';
  }
}
