import { Agent as HttpAgent, type OutgoingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';

/**
 * How long a connection without a request is kept. An API server keeps one for a minute and a half, the
 * balancers and proxies before it for ten seconds or more.
 */
const IDLE_MS = 3_000;

type ServerOptions = Omit<RequestOptions, 'headers'> & { headers?: OutgoingHttpHeaders };

/**
 * An API server, the credentials for it, and the connections to it. The Kubernetes client makes a new agent
 * for each request, so that each would pay a TLS handshake.
 */
export class ApiServer {
  readonly config: KubeConfig;
  readonly url: string;
  readonly #kept = agents({ keepAlive: true, timeout: IDLE_MS });
  /** They keep no connection, but the TLS sessions that make the next one cheap. */
  readonly #single = agents({ keepAlive: false });

  constructor(config: KubeConfig, url: string) {
    this.config = config;
    this.url = url.replace(/\/$/, '');
  }

  /**
   * What a request to the server needs. Credentials are read anew each time: they may rotate.
   *
   * @param connection one that an earlier request has left, if there is one, or a new one
   */
  async options(connection: 'kept' | 'new'): Promise<ServerOptions> {
    const options: ServerOptions = {};
    await this.config.applyToHTTPSOptions(options);
    const own = connection === 'kept' ? this.#kept : this.#single;
    // Any other agent speaks with a proxy that the kubeconfig names. An agent keeps connections apart whose
    // certificates or other TLS options differ.
    if (options.agent?.constructor === HttpsAgent) options.agent = own.https;
    else if (options.agent?.constructor === HttpAgent) options.agent = own.http;
    return options;
  }
}

function agents(options: { readonly keepAlive: boolean; readonly timeout?: number }) {
  return { http: new HttpAgent(options), https: new HttpsAgent(options) };
}
