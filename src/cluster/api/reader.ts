import { type IncomingMessage, request as requestPlain } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { abortedWithin } from '../../lib/deadline.ts';
import { ANSWER_WITHIN_MS } from './client.ts';
import { type ExecPlace, type Printed, runIn } from './exec.ts';
import { callPod, type ForwardPlace, type PodAnswer, type PodRequest } from './forward.ts';

/** The choice of a cluster; the current context of KUBECONFIG by default. */
export interface ClusterChoice {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** One answer of the Kubernetes API. */
export interface ApiAnswer {
  readonly status: number;
  /** Parsed JSON; `undefined` if it is not JSON. */
  readonly body: unknown;
  /** The answer as it came, where the server does not call it JSON: the log of a container. */
  readonly text?: string;
  /** The time of the server, in milliseconds since the epoch, where it says so. */
  readonly date?: number;
}

/** Reads from a cluster, and changes nothing. */
export interface ClusterReader {
  /** The context and the address of its server, for people. */
  readonly name: string;
  /** Resolves with any status. Rejects if there is no answer within half a minute. */
  get(path: string): Promise<ApiAnswer>;
  /**
   * Runs a command that changes nothing. Rejects if it cannot be run, or has not ended after half a
   * minute.
   */
  run(place: ExecPlace, command: readonly string[]): Promise<Printed>;
}

export type ChangeMethod = 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Reads from a cluster, and changes it. */
export interface ClusterConnection extends ClusterReader {
  /** The namespace of the context. */
  readonly namespace: string;
  /** A PATCH is a JSON merge patch (RFC 7386), or with a list a JSON patch (RFC 6902). Resolves and rejects as `get` does. */
  send(method: ChangeMethod, path: string, body?: unknown): Promise<ApiAnswer>;
}

/** Reaches into pods, too. */
export interface PodConnection extends ClusterConnection {
  /** As `run`, for a command that may change something. It ends with the signal. */
  exec(place: ExecPlace, command: readonly string[], signal: AbortSignal): Promise<Printed>;
  /** See {@link callPod}. */
  call(place: ForwardPlace, request: PodRequest, signal: AbortSignal): Promise<PodAnswer>;
}

/** Opens no connection yet. @throws Error if the kubeconfig cannot be read or lacks the context */
export function connectReader(choice: ClusterChoice): ClusterReader {
  return connect(choice);
}

/**
 * Opens no connection yet.
 *
 * @param end breaks off requests that get no answer, so that nothing of them keeps the process alive
 * @throws Error if the kubeconfig cannot be read or lacks the context
 */
export function connect(choice: ClusterChoice, end?: AbortSignal): PodConnection {
  const { config, server } = chosen(choice);
  return {
    name: `${config.getCurrentContext()}, ${server}`,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    get: (path) => ask(config, server, { method: 'GET', path, end }),
    send: (method, path, body) => ask(config, server, { method, path, body, end }),
    run: (place, command) => runIn(config, place, command),
    exec: (place, command, signal) => runIn(config, place, command, signal),
    call: (place, request, signal) => callPod(config, place, request, signal),
  };
}

/** The credentials and the server of a choice. @throws Error if the kubeconfig cannot be read or lacks them */
export function chosen({ kubeconfig, context }: ClusterChoice): {
  readonly config: KubeConfig;
  readonly server: string;
} {
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
  if (server === undefined) throw new Error('the kubeconfig has no cluster');
  return { config, server };
}

interface Call {
  readonly method: 'GET' | ChangeMethod;
  readonly path: string;
  readonly body?: unknown;
  readonly end: AbortSignal | undefined;
}

function patchType(body: unknown): string {
  return Array.isArray(body) ? 'application/json-patch+json' : 'application/merge-patch+json';
}

async function ask(config: KubeConfig, server: string, call: Call): Promise<ApiAnswer> {
  const { method, path, body, end } = call;
  const type = method === 'PATCH' ? patchType(body) : 'application/json';
  const headers = {
    accept: 'application/json',
    ...(body !== undefined && { 'content-type': type }),
  };
  const options: RequestOptions = { method, headers };
  await config.applyToHTTPSOptions(options);
  const url = new URL(`${server.replace(/\/$/, '')}${path}`);
  return await new Promise((resolve, reject) => {
    const start = url.protocol === 'http:' ? requestPlain : request;
    const signal = abortedWithin(ANSWER_WITHIN_MS, ...(end === undefined ? [] : [end]));
    const sent = start(url, { ...options, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('error', reject);
      answer.on('end', () => {
        resolve(answerOf(answer, text));
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function answerOf({ statusCode, headers }: IncomingMessage, text: string): ApiAnswer {
  const date = Date.parse(headers.date ?? '');
  const more = {
    ...(!/\bjson\b/.test(headers['content-type'] ?? '') && { text }),
    ...(!Number.isNaN(date) && { date }),
  };
  const status = statusCode ?? 0;
  try {
    return { status, body: JSON.parse(text) as unknown, ...more };
  } catch {
    return { status, body: undefined, ...more };
  }
}
