import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tools } from '../kubectl.ts';
import {
  DRIVER,
  DRIVER_SOCKET,
  KUBECONFIG,
  KUBELET_DIR,
  NODE_NAME,
  state,
  VOLUMES,
} from '../layout.ts';
import { run } from '../run.ts';
import { until } from '../wait.ts';
import { startDaemon } from './daemons.ts';

const REGISTRATION = `${KUBELET_DIR}/plugins_registry/${DRIVER}-reg.sock`;

/** The CSI driver on a btrfs file system, with the upstream provisioner, snapshotter and snapshot controller. */
export async function startStorage(tools: Tools): Promise<void> {
  await mountVolumes();
  const { csi, driver } = tools.programs.folders;
  await startDaemon('csi-driver', join(driver, 'csi-driver'), [
    '-root',
    VOLUMES,
    '-node',
    NODE_NAME,
    '-endpoint',
    DRIVER_SOCKET,
    '-registration',
    REGISTRATION,
  ]);
  const definitions = join(csi, 'crds');
  for (const file of (await readdir(definitions)).filter((name) => name.endsWith('.yaml'))) {
    await tools.apply(await readFile(join(definitions, file), 'utf8'));
  }
  await until('the storage classes', 30_000, async () => {
    await tools.apply(await readFile('test/velero/manifests/storage.yaml', 'utf8'));
    return true;
  });
  await until('the CSI driver', 20_000, async () => existsSync(DRIVER_SOCKET));
  const flags = [`--kubeconfig=${KUBECONFIG}`, '--leader-election=false'];
  const address = `--csi-address=${DRIVER_SOCKET}`;
  await startDaemon('snapshot-controller', join(csi, 'snapshot-controller'), flags);
  await startDaemon('csi-snapshotter', join(csi, 'csi-snapshotter'), [...flags, address]);
  await startDaemon('csi-provisioner', join(csi, 'csi-provisioner'), [
    ...flags,
    address,
    '--extra-create-metadata',
  ]);
  await until('the kubelet knows the CSI driver', 60_000, async () => {
    const node = await tools.get<{ spec: { drivers?: { name: string }[] } }>('csinode', NODE_NAME);
    return node.spec.drivers?.some(({ name }) => name === DRIVER) === true;
  });
}

async function mountVolumes(): Promise<void> {
  await mkdir(VOLUMES, { recursive: true });
  const image = state('btrfs.img');
  await run('truncate', ['--size=40G', image]);
  await run('mkfs.btrfs', ['--quiet', image]);
  await run('mount', ['--options', 'loop', image, VOLUMES]);
}
