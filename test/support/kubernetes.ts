import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { built } from './built.ts';
import { makeCertificates } from './certificates.ts';
import { freePort } from './webhook.ts';

/** Relative to the root of the checkout, where tests and benchmarks run. */
const BUILD = resolve('scripts/kubernetes.mjs');
const ADMIN = 'admin-token';

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
  /** The texts of its Warning headers. */
  readonly warnings: readonly string[];
}

/** A real control plane: etcd, kube-apiserver and the StatefulSet controller. No nodes. */
export interface ControlPlane {
  readonly url: string;
  /** Sends a request as an administrator. */
  call<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer<T>>;
  /** The same; throws on anything but success. */
  must<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  /** Creates a namespace and waits for its default service account. */
  namespace(name: string, labels?: Record<string, string>): Promise<void>;
  /** A kubeconfig for a user whose name is its token. The user has no rights. */
  kubeconfig(user: 'webhook' | 'nobody'): Promise<string>;
  stop(): Promise<void>;
}

export async function startControlPlane(): Promise<ControlPlane> {
  const programs = await built(BUILD);
  const dir = await mkdtemp(join(tmpdir(), 'quiesce-kubernetes-'));
  await makeCertificates(dir);
  const [port, etcd, peer] = [await freePort(), await freePort(), await freePort()];
  const url = `https://127.0.0.1:${port}`;
  const file = (name: string): string => join(dir, name);
  const ca = await readFile(file('ca.crt'), 'utf8');
  const tokens = [`${ADMIN},admin,1,system:masters`, 'webhook,webhook,2', 'nobody,nobody,3'];
  await writeFile(file('tokens.csv'), `${tokens.join('\n')}\n`);
  const configOf = (token: string): string =>
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server: url, 'certificate-authority': file('ca.crt') } }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    });
  await writeFile(file('admin.conf'), configOf(ADMIN));
  const children: Program[] = [];
  const run = (name: string, args: readonly string[]): void => {
    children.push(new Program(join(programs, name), args));
  };
  const { call, must } = client(port, ca);
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) await child.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    run('etcd', [
      `--data-dir=${file('etcd')}`,
      '--unsafe-no-fsync',
      `--listen-client-urls=http://127.0.0.1:${etcd}`,
      `--advertise-client-urls=http://127.0.0.1:${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-cluster=default=http://127.0.0.1:${peer}`,
      '--log-level=warn',
    ]);
    run('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      `--tls-cert-file=${file('server.crt')}`,
      `--tls-private-key-file=${file('server.key')}`,
      `--token-auth-file=${file('tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--allow-privileged',
      '--service-cluster-ip-range=10.96.0.0/16',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('server.crt')}`,
      `--service-account-signing-key-file=${file('server.key')}`,
      '--endpoint-reconciler-type=none',
    ]);
    await until(children, async () => (await call('GET', '/readyz')).status === 200);
    run('kube-controller-manager', [
      `--kubeconfig=${file('admin.conf')}`,
      '--controllers=statefulset-controller,serviceaccount-controller,namespace-controller',
      '--leader-elect=false',
      '--secure-port=0',
    ]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    call,
    must,
    async namespace(name, labels = {}) {
      await must('POST', '/api/v1/namespaces', { metadata: { name, labels } });
      const account = `/api/v1/namespaces/${name}/serviceaccounts/default`;
      await until(children, async () => (await call('GET', account)).status === 200);
    },
    async kubeconfig(user) {
      const path = file(`${user}.conf`);
      await writeFile(path, configOf(user), { mode: 0o600 });
      return path;
    },
    stop,
  };
}

class Program {
  readonly #child: ChildProcess;
  readonly #name: string;
  #log = '';

  constructor(path: string, args: readonly string[]) {
    this.#name = path;
    this.#child = spawn(path, [...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log = (this.#log + text).slice(-8_192);
    });
  }

  /** The end of its output, if it has ended. */
  get failure(): string | undefined {
    const { exitCode, signalCode } = this.#child;
    return exitCode === null && signalCode === null ? undefined : `${this.#name}: ${this.#log}`;
  }

  async stop(): Promise<void> {
    if (this.failure !== undefined) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}

async function until(children: readonly Program[], check: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 120_000;
  while (Date.now() < end) {
    if (await check().catch(() => false)) return;
    const failure = children.map((child) => child.failure).find(Boolean);
    if (failure !== undefined) throw new Error(failure);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('the control plane did not become ready');
}

function client(port: number, ca: string): Pick<ControlPlane, 'call' | 'must'> {
  const call = <T>(method: string, path: string, body?: unknown): Promise<Answer<T>> =>
    new Promise((resolve, reject) => {
      const headers: Record<string, string> = { authorization: `Bearer ${ADMIN}` };
      const sentBody = body === undefined ? '' : JSON.stringify(body);
      // Without this header a DELETE sends its body unframed.
      headers['content-length'] = String(Buffer.byteLength(sentBody));
      if (body !== undefined) {
        headers['content-type'] =
          method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      }
      const sent = request({ host: '127.0.0.1', port, path, method, ca, headers }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () => {
          const warnings = Object.values(answer.headersDistinct['warning'] ?? []);
          const parsed = text.startsWith('{') ? (JSON.parse(text) as T) : (text as unknown as T);
          resolve({ status: answer.statusCode ?? 0, body: parsed, warnings });
        });
      });
      sent.on('error', reject);
      sent.end(sentBody);
    });
  return {
    call,
    async must<T>(method: string, path: string, body?: unknown) {
      const answer = await call<T>(method, path, body);
      if (answer.status >= 300) {
        throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      }
      return answer.body;
    },
  };
}
