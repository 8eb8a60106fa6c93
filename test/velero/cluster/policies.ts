import { join } from 'node:path';
import type { Tools } from '../kubectl.ts';
import { KUBECONFIG, NODE_NAME } from '../layout.ts';
import { tryRun } from '../run.ts';
import { startDaemon } from './daemons.ts';

/** kube-router as nothing but the engine that enforces NetworkPolicies. */
export async function startPolicyEngine(tools: Tools): Promise<void> {
  await startDaemon('kube-router', join(tools.programs.folders.policies, 'kube-router'), [
    `--kubeconfig=${KUBECONFIG}`,
    `--hostname-override=${NODE_NAME}`,
    '--run-firewall=true',
    '--run-router=false',
    '--run-service-proxy=false',
    '--run-loadbalancer=false',
    '--iptables-sync-period=5s',
  ]);
}

/** Takes away what the engine has set up, once it has stopped. */
export async function cleanPolicies(tools: Tools): Promise<void> {
  const program = join(tools.programs.folders.policies, 'kube-router');
  const { stderr } = await tryRun(program, ['--cleanup-config']);
  // It then crashes over IPVS, which this cluster does not use and the kernel may lack.
  if (stderr.includes('Successfully cleaned the NetworkPolicyController')) return;
  throw new Error(`kube-router has not removed its rules: ${stderr.slice(0, 1_000)}`);
}
