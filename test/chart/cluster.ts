import { readdir, readFile } from 'node:fs/promises';
import { request, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { parseAllDocuments, stringify } from 'yaml';
import type { Manifest } from '../support/helm.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A client of a real API server that applies objects as `kubectl apply --server-side` does. */
export class ClusterClient {
  readonly #config = new KubeConfig();

  constructor(kubeconfig: string) {
    this.#config.loadFromFile(kubeconfig);
  }

  /** Applies an object as a dry run. @returns the server's refusal, or `null` if it accepts the object. */
  async refusal(manifest: Manifest): Promise<string | null> {
    const { status, text } = await this.#apply(manifest, { dryRun: 'All' });
    return status < 300 ? null : `${manifest.kind}/${manifest.metadata.name}: ${status} ${text}`;
  }

  async apply(manifest: Manifest): Promise<void> {
    const { status, text } = await this.#apply(manifest, {});
    if (status >= 300) throw new Error(`${manifest.kind}/${manifest.metadata.name}: ${text}`);
  }

  /** @returns `undefined` if the object does not exist. */
  async get(path: string): Promise<Manifest | undefined> {
    const { status, text } = await this.#call('GET', path);
    if (status === 404) return undefined;
    if (status >= 300) throw new Error(`GET ${path}: ${text}`);
    return JSON.parse(text) as Manifest;
  }

  /** Whether the server allows the user this access (`resourceAttributes` of a SubjectAccessReview). */
  async mayDo(user: string, access: Readonly<Record<string, string>>): Promise<boolean> {
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user, resourceAttributes: access },
    };
    const { status, text } = await this.#call(
      'POST',
      path,
      JSON.stringify(body),
      'application/json',
    );
    if (status >= 300) throw new Error(`POST ${path}: ${text}`);
    return (JSON.parse(text) as { status: { allowed: boolean } }).status.allowed;
  }

  /** Sends a request as that user; a PATCH is a JSON merge patch. */
  async as(user: string, method: string, path: string, body?: object): Promise<Answer> {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const more = { 'impersonate-user': user };
    return this.#call(method, path, body && JSON.stringify(body), type, more);
  }

  /** Installs the CustomResourceDefinitions of a folder, and waits until the server serves them. */
  async define(folder: string): Promise<void> {
    for (const name of await readdir(folder)) {
      for (const document of parseAllDocuments(await readFile(join(folder, name), 'utf8'))) {
        const manifest = document.toJS() as Manifest | null;
        if (manifest) await this.#defineOne(manifest);
      }
    }
  }

  async #defineOne(manifest: Manifest): Promise<void> {
    await this.apply(manifest);
    const path = pathOf(manifest);
    for (let tried = 0; tried < 150; tried += 1) {
      const found = JSON.stringify((await this.get(path))?.['status'] ?? {});
      if (
        /"type":"Established"[^}]*"status":"True"|"status":"True"[^}]*"type":"Established"/.test(
          found,
        )
      ) {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error(`the server does not serve ${manifest.metadata.name} after 30 s`);
  }

  async #apply(manifest: Manifest, more: Readonly<Record<string, string>>): Promise<Answer> {
    const query = new URLSearchParams({
      fieldManager: 'test',
      fieldValidation: 'Strict',
      force: 'true',
      ...more,
    });
    const path = `${pathOf(manifest)}?${query.toString()}`;
    return this.#call('PATCH', path, stringify(manifest), 'application/apply-patch+yaml');
  }

  async #call(
    method: string,
    path: string,
    body?: string,
    type?: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const server = this.#config.getCurrentCluster()?.server ?? '';
    const headers = { ...more, ...(type && { 'content-type': type }) };
    const options: RequestOptions = { method, headers };
    await this.#config.applyToHTTPSOptions(options);
    return new Promise((resolve, reject) => {
      const sent = request(new URL(path, server), options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

const PLURALS: Readonly<Record<string, string>> = {
  NetworkPolicy: 'networkpolicies',
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
};

/** The path of an object in the API. */
export function pathOf({ apiVersion, kind, metadata }: Manifest): string {
  const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const place = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `${root}${place}/${PLURALS[kind] ?? `${kind.toLowerCase()}s`}/${metadata.name}`;
}
