import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { API_PORT, KUBECONFIG, NETWORK, state } from '../layout.ts';
import { run } from '../run.ts';

export const pki = (name: string): string => state('pki', name);

const NAMES = [
  ...['127.0.0.1', NETWORK.node, NETWORK.api].map((address) => `IP:${address}`),
  ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'].map(
    (name) => `DNS:${name}`,
  ),
];

/** Makes an authority, the API server's certificate, the service accounts' key, and the administrator's access. */
export async function makePki(): Promise<void> {
  await mkdir(state('pki'), { recursive: true });
  const days = ['-days', '30', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const files = (name: string): string[] => [
    '-keyout',
    pki(`${name}.key`),
    '-out',
    pki(`${name}.crt`),
  ];
  const make = ['req', '-x509', ...days];
  await run('openssl', [...make, '-subj', '/CN=quiesce-test-ca', ...files('ca')]);
  const signed = ['-CA', pki('ca.crt'), '-CAkey', pki('ca.key')];
  const names = [
    '-addext',
    `subjectAltName=${NAMES.join(',')}`,
    '-addext',
    'basicConstraints=CA:FALSE',
  ];
  const subject = ['-subj', '/CN=kube-apiserver'];
  await run('openssl', [...make, ...subject, ...signed, ...names, ...files('apiserver')]);
  await run('openssl', ['genrsa', '-out', pki('accounts.key'), '2048']);
  await run('openssl', ['rsa', '-in', pki('accounts.key'), '-pubout', '-out', pki('accounts.pub')]);
  await writeFile(pki('tokens.csv'), 'admin-token,admin,1,system:masters\n');
  await writeFile(KUBECONFIG, await kubeconfig(), { mode: 0o600 });
}

async function kubeconfig(): Promise<string> {
  const authority = (await readFile(pki('ca.crt'))).toString('base64');
  const server = `https://${NETWORK.node}:${API_PORT}`;
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': authority } }],
    users: [{ name: 'admin', user: { token: 'admin-token' } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
  });
}
