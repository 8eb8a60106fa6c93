import { join } from 'node:path';
import { API_PORT, KUBECONFIG, NETWORK, NODE_NAME, state } from '../layout.ts';
import type { Tools } from '../kubectl.ts';
import { run } from '../run.ts';
import { until } from '../wait.ts';
import { startDaemon } from './daemons.ts';
import { pki } from './pki.ts';

const ETCD = 'http://127.0.0.1:2379';
const ETCD_PEER = 'http://127.0.0.1:2380';

/** etcd, the API server, and what acts on its objects. The API server answers when this resolves. */
export async function startControlPlane(tools: Tools): Promise<void> {
  const program = (name: string): string => join(tools.programs.folders.kubernetes, name);
  await startDaemon('etcd', program('etcd'), etcdFlags());
  await startDaemon('kube-apiserver', program('kube-apiserver'), apiServerFlags());
  await until('kube-apiserver', 120_000, async () => {
    return (await tools.kubectl(['get', '--raw', '/readyz'])) === 'ok';
  });
  await startDaemon('kube-controller-manager', program('kube-controller-manager'), [
    `--kubeconfig=${KUBECONFIG}`,
    '--leader-elect=false',
    `--service-account-private-key-file=${pki('accounts.key')}`,
    `--root-ca-file=${pki('ca.crt')}`,
    '--kube-api-qps=100',
    '--kube-api-burst=200',
  ]);
  await startDaemon('kube-scheduler', program('kube-scheduler'), [
    `--kubeconfig=${KUBECONFIG}`,
    '--leader-elect=false',
  ]);
  await startDaemon('kube-proxy', program('kube-proxy'), [
    `--kubeconfig=${KUBECONFIG}`,
    '--proxy-mode=iptables',
    `--hostname-override=${NODE_NAME}`,
    `--cluster-cidr=${NETWORK.pods}`,
    // The whole machine has one table of connections: its size is not this sandbox's to change.
    '--conntrack-max-per-core=0',
    '--conntrack-min=0',
    '--conntrack-tcp-timeout-established=0',
    '--conntrack-tcp-timeout-close-wait=0',
  ]);
}

/** A cluster's name server, as far as services need one: the addresses of services and of their pods. */
export async function startDns(tools: Tools): Promise<void> {
  const bundle = state('dns.mjs');
  await run('node_modules/.bin/esbuild', [
    'test/velero/cluster/dns.ts',
    '--bundle',
    '--platform=node',
    '--format=esm',
    `--outfile=${bundle}`,
    '--log-level=error',
  ]);
  const kubectl = join(tools.programs.folders.clients, 'kubectl');
  await startDaemon('dns', process.execPath, [bundle, NETWORK.node, kubectl], tools.env);
}

function etcdFlags(): string[] {
  return [
    `--data-dir=${state('etcd')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${ETCD}`,
    `--advertise-client-urls=${ETCD}`,
    `--listen-peer-urls=${ETCD_PEER}`,
    `--initial-advertise-peer-urls=${ETCD_PEER}`,
    `--initial-cluster=default=${ETCD_PEER}`,
    '--log-level=warn',
  ];
}

function apiServerFlags(): string[] {
  return [
    `--etcd-servers=${ETCD}`,
    `--bind-address=${NETWORK.node}`,
    `--advertise-address=${NETWORK.node}`,
    `--secure-port=${API_PORT}`,
    `--service-cluster-ip-range=${NETWORK.services}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--token-auth-file=${pki('tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--allow-privileged=true',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki('accounts.pub')}`,
    `--service-account-signing-key-file=${pki('accounts.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
  ];
}
