import { readFile } from 'node:fs/promises';
import type { Tools } from '../kubectl.ts';
import { say } from '../say.ts';
import { startControlPlane, startDns } from './control-plane.ts';
import { makeNetwork } from './network.ts';
import { startContainerd, startKubelet } from './node.ts';
import { makePki } from './pki.ts';
import { startPolicyEngine } from './policies.ts';
import { startStorage } from './storage.ts';
import { startS3 } from './velero.ts';

/** Brings up the cluster in the sandbox, without quiesce and Velero. */
export async function bringUp(
  tools: Tools,
  images: readonly string[],
  policies: boolean,
): Promise<void> {
  await makeNetwork();
  await makePki();
  say('control plane, containerd and its images, S3');
  await Promise.all([startControlPlane(tools), startContainerd(images), startS3(tools)]);
  await tools.apply(await readFile('test/velero/manifests/dns.yaml', 'utf8'));
  await startDns(tools);
  say('kubelet');
  await startKubelet(tools);
  say('storage');
  await startStorage(tools);
  if (policies) await startPolicyEngine(tools);
}
