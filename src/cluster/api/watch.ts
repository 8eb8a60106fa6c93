import { request as requestPlain } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { createInterface } from 'node:readline';
import type { IncomingMessage } from 'node:http';
import { type ApiAnswer, chosen, type ClusterChoice, connect } from './reader.ts';

/** One line of a watch. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  /** The object; of an `ERROR`, the Status. */
  readonly object: unknown;
}

export interface WatchCallbacks {
  /** The server has accepted the watch. */
  opened(): void;
  /** What it throws ends the watch, which then rejects with it. */
  event(event: WatchEvent): void;
}

/** Reads from a cluster, and follows what changes there. */
export interface ClusterWatcher {
  /** The context and the address of its server, for people. */
  readonly name: string;
  get(path: string): Promise<ApiAnswer>;
  /**
   * Watches until the server ends it. Rejects if the connection fails, is silent for longer than servers
   * that send bookmarks are, or the signal aborts; with a {@link Refused} if the server refuses the watch.
   */
  watch(path: string, callbacks: WatchCallbacks, signal: AbortSignal): Promise<void>;
}

/** The API refused a request. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A refusal in the words of the API's Status. */
export function refusal({ status, body }: ApiAnswer): Refused {
  const { message } = (body ?? {}) as { readonly message?: string };
  return new Refused(status, message ?? `the Kubernetes API answered ${status}`);
}

/**
 * An API server sends a bookmark about once a minute, and a connection whose other end is gone is silent:
 * without this limit, such a watch would never end.
 */
const SILENT_FOR_MS = 90_000;

/** Opens no connection yet. @throws Error if the kubeconfig cannot be read or lacks the context */
export function connectWatcher(choice: ClusterChoice, silentForMs = SILENT_FOR_MS): ClusterWatcher {
  const { config, server } = chosen(choice);
  const reader = connect(choice);
  return {
    name: reader.name,
    get: (path) => reader.get(path),
    async watch(path, callbacks, signal) {
      const options: RequestOptions = { method: 'GET', headers: { accept: 'application/json' } };
      await config.applyToHTTPSOptions(options);
      const url = new URL(`${server.replace(/\/$/, '')}${path}`);
      await readLines(url, options, { callbacks, signal, silentForMs });
    },
  };
}

interface Reading {
  readonly callbacks: WatchCallbacks;
  readonly signal: AbortSignal;
  readonly silentForMs: number;
}

function readLines(url: URL, options: RequestOptions, reading: Reading): Promise<void> {
  const { callbacks, signal, silentForMs } = reading;
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'http:' ? requestPlain : request;
    const sent = start(url, { ...options, signal }, (answer) => {
      if (answer.statusCode !== 200) return void refuse(answer).then(reject, reject);
      const fail = (error: unknown): void => {
        reject(error);
        sent.destroy();
      };
      try {
        callbacks.opened();
      } catch (error) {
        fail(error);
        return;
      }
      const lines = createInterface(answer);
      // Both emit it, and either one without a listener would end the process.
      answer.on('error', reject);
      lines.on('error', reject);
      lines.on('line', (line) => {
        try {
          callbacks.event(JSON.parse(line) as WatchEvent);
        } catch (error) {
          fail(error);
        }
      });
      lines.on('close', () => {
        if (answer.complete) resolve();
        else reject(new Error('the Kubernetes API broke off the watch'));
      });
    });
    sent.setTimeout(silentForMs, () => {
      sent.destroy(new Error('the Kubernetes API is silent'));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function refuse(answer: IncomingMessage): Promise<Refused> {
  const status = answer.statusCode ?? 0;
  let text = '';
  for await (const part of answer.setEncoding('utf8')) text += part;
  try {
    return refusal({ status, body: JSON.parse(text) as unknown });
  } catch {
    return refusal({ status, body: undefined });
  }
}
