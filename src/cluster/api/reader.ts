import { type IncomingMessage, request as requestPlain } from 'node:http';
import { request } from 'node:https';
import type { Duplex } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';
import { abortedWithin } from '../../lib/deadline.ts';
import { ANSWER_WITHIN_MS } from './client.ts';
import { type ExecPlace, type Printed, runIn } from './exec.ts';
import { type ForwardPlace, PodPorts, type PodAnswer, type PodRequest } from './forward.ts';
import { ApiServer } from './server.ts';

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
  /** See {@link PodPorts}. */
  call(place: ForwardPlace, request: PodRequest, signal: AbortSignal): Promise<PodAnswer>;
  /** A connection to a port of a pod. Rejects as `call` does. */
  open(place: ForwardPlace, signal: AbortSignal): Promise<Duplex>;
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
  const { config, server: url } = chosen(choice);
  const server = new ApiServer(config, url);
  const ports = new PodPorts(server);
  return {
    name: `${config.getCurrentContext()}, ${url}`,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    get: (path) => ask(server, { method: 'GET', path, end }),
    send: (method, path, body) => ask(server, { method, path, body, end }),
    run: (place, command) => runIn(server, place, command),
    exec: (place, command, signal) => runIn(server, place, command, signal),
    call: (place, request, signal) => ports.call(place, request, signal),
    open: (place, signal) => ports.open(place, signal),
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

async function ask(server: ApiServer, call: Call): Promise<ApiAnswer> {
  try {
    return await askOnce(server, call, 'kept');
  } catch (error) {
    // The server may close a kept connection at the moment of the request. A change is for its caller to
    // repeat: it may have been made.
    if (call.method !== 'GET' || !(error instanceof Stale)) throw unwrapped(error);
  }
  return await askOnce(server, call, 'new');
}

/** A connection that an earlier request had left broke before there was an answer. */
class Stale extends Error {}

function unwrapped(error: unknown): unknown {
  return error instanceof Stale ? error.cause : error;
}

function patchType(body: unknown): string {
  return Array.isArray(body) ? 'application/json-patch+json' : 'application/merge-patch+json';
}

async function askOnce(
  server: ApiServer,
  { method, path, body, end }: Call,
  connection: 'kept' | 'new',
): Promise<ApiAnswer> {
  const type = method === 'PATCH' ? patchType(body) : 'application/json';
  const own = await server.options(connection);
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    ...own.headers,
    accept: 'application/json',
    // Node states no length for a DELETE: its body would then be read as the next request.
    ...(payload !== undefined && {
      'content-type': type,
      'content-length': Buffer.byteLength(payload),
    }),
  };
  const signal = abortedWithin(ANSWER_WITHIN_MS, ...(end === undefined ? [] : [end]));
  const url = new URL(`${server.url}${path}`);
  const start = url.protocol === 'http:' ? requestPlain : request;
  return await new Promise((resolve, reject) => {
    const sent = start(url, { ...own, method, headers, signal }, (answer) => {
      readJson(answer).then(resolve, reject);
    });
    sent.on('error', (cause) => {
      const stale = sent.reusedSocket && !signal.aborted;
      reject(stale ? new Stale(cause.message, { cause }) : cause);
    });
    sent.end(payload);
  });
}

async function readJson(answer: IncomingMessage): Promise<ApiAnswer> {
  const { statusCode: status = 0, headers } = answer;
  const text = await readText(answer);
  const date = Date.parse(headers.date ?? '');
  const more = {
    ...(!/\bjson\b/.test(headers['content-type'] ?? '') && { text }),
    ...(!Number.isNaN(date) && { date }),
  };
  try {
    return { status, body: JSON.parse(text) as unknown, ...more };
  } catch {
    return { status, body: undefined, ...more };
  }
}
