import { join } from 'node:path';
import type { Tools } from '../kubectl.ts';
import { KUBECONFIG, NODE_NAME } from '../layout.ts';
import { run } from '../run.ts';
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
  await run(join(tools.programs.folders.policies, 'kube-router'), ['--cleanup-config']);
}
