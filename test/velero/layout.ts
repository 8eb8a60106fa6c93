import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** What is built once and kept between runs. */
export const CACHE = process.env['QUIESCE_CACHE'] ?? join(homedir(), '.cache', 'quiesce');

/** All that a run writes; removed at its end. Clusters with folders of their own can run side by side. */
export const STATE = process.env['QUIESCE_VELERO_STATE'] ?? join(tmpdir(), 'quiesce-velero');

export const state = (...names: readonly string[]): string => join(STATE, ...names);

/** The checkout: everything runs from its root. */
export const ROOT = process.cwd();

export const NODE_NAME = 'node-1';

/** Addresses inside the sandbox's own network, which reaches nothing else. */
export const NETWORK = {
  bridge: 'quiesce0',
  node: '10.201.0.1',
  pods: '10.201.0.0/24',
  firstPod: '10.201.0.10',
  services: '10.202.0.0/24',
  api: '10.202.0.1',
  dns: '10.202.0.10',
} as const;

export const API_PORT = 6443;
export const S3_PORT = 9000;
export const S3_URL = `http://${NETWORK.node}:${S3_PORT}`;

export const KUBECONFIG = state('admin.kubeconfig');
export const CONTAINERD = state('containerd.sock');
export const KUBELET_DIR = '/var/lib/kubelet';
export const DRIVER = 'csi.quiesce.test';
export const DRIVER_SOCKET = `${KUBELET_DIR}/plugins/${DRIVER}/csi.sock`;
/** The btrfs file system of the CSI driver. */
export const VOLUMES = state('btrfs');

/** What `scripts/cluster-programs.mjs` prints. */
export interface Programs {
  readonly folders: Readonly<
    Record<'kubernetes' | 'csi' | 'velero' | 'policies' | 'clients' | 's3' | 'driver', string>
  >;
}
