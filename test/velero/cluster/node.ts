import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { stringify } from 'yaml';
import { IMAGES } from '../images/names.ts';
import type { Tools } from '../kubectl.ts';
import { CONTAINERD, KUBECONFIG, KUBELET_DIR, NETWORK, NODE_NAME, state } from '../layout.ts';
import { run } from '../run.ts';
import { CGROUP } from '../sandbox/leftovers.ts';
import { until } from '../wait.ts';
import { startDaemon, stopDaemon } from './daemons.ts';

const CONFIG = `version = 2
root = "${state('containerd')}"
state = "/run/containerd"
[grpc]
  address = "${CONTAINERD}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${state('containerd-opt')}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGES.pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${state('cni')}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;

/** containerd with the images of the run. */
export async function startContainerd(images: readonly string[]): Promise<void> {
  await writeFile(state('containerd.toml'), CONFIG);
  await startDaemon('containerd', 'containerd', ['--config', state('containerd.toml')]);
  await until('containerd', 30_000, async () => (await ctr(['version'])).includes('Server'));
  for (const image of images) await importImage(image);
}

export async function importImage(archive: string): Promise<void> {
  await ctr(['images', 'import', archive]).catch((error: Error) => {
    throw new Error(`containerd does not take ${basename(archive)}: ${error.message}`);
  });
}

/** containerd's own command line, in the kubelet's namespace. */
export async function ctr(args: readonly string[]): Promise<string> {
  return (await run('ctr', ['--address', CONTAINERD, '--namespace', 'k8s.io', ...args])).stdout;
}

/** Starts the kubelet and waits until its node is ready. */
export async function startKubelet(tools: Tools): Promise<void> {
  await mkdir(KUBELET_DIR, { recursive: true });
  await writeFile(state('kubelet.yaml'), stringify(kubeletConfig()));
  await startDaemon('kubelet', join(tools.programs.folders.kubernetes, 'kubelet'), [
    `--config=${state('kubelet.yaml')}`,
    `--kubeconfig=${KUBECONFIG}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${NETWORK.node}`,
    `--root-dir=${KUBELET_DIR}`,
    '--v=2',
  ]);
  await until('the node is ready', 120_000, async () => {
    const node = await tools.get<{ status: { conditions: { type: string; status: string }[] } }>(
      'node',
      NODE_NAME,
    );
    return node.status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
  });
}

export async function stopKubelet(): Promise<void> {
  await stopDaemon('kubelet');
}

function kubeletConfig(): unknown {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: NETWORK.node,
    readOnlyPort: 0,
    // Only the sandbox reaches it.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${CGROUP}`,
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    containerRuntimeEndpoint: `unix://${CONTAINERD}`,
    volumePluginDir: state('kubelet-plugins'),
    imageGCHighThresholdPercent: 100,
    evictionHard: {},
    enforceNodeAllocatable: [],
    registerNode: true,
    clusterDNS: [NETWORK.dns],
    clusterDomain: 'cluster.local',
    syncFrequency: '10s',
  };
}

/** The process, as the sandbox sees it, that a container of a pod runs. */
export async function processOf(
  tools: Tools,
  namespace: string,
  pod: string,
  name: string,
): Promise<number> {
  const { status } = await tools.get<{
    status: { containerStatuses: { name: string; containerID?: string }[] };
  }>('pod', pod, '-n', namespace);
  const container = status.containerStatuses.find((found) => found.name === name);
  const id = container?.containerID?.replace('containerd://', '');
  const tasks = (await ctr(['tasks', 'ls'])).split('\n').map((line) => line.trim().split(/\s+/));
  const [, pid] = tasks.find(([task]) => task === id) ?? [];
  if (pid === undefined) throw new Error(`${namespace}/${pod} runs no container ${name}`);
  return Number(pid);
}
