import { mkdir, writeFile } from 'node:fs/promises';
import { NETWORK, state } from '../layout.ts';
import { run } from '../run.ts';

/** The bridge of the pods, whose address is the node's. */
export async function makeNetwork(): Promise<void> {
  const { bridge, node } = NETWORK;
  await run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  await run('ip', ['addr', 'add', `${node}/24`, 'dev', bridge]);
  await run('ip', ['link', 'set', bridge, 'up']);
  // kube-proxy turns a service's address into a pod's, but only for what has a route.
  await run('ip', ['route', 'add', NETWORK.services, 'dev', bridge]);
  // Both belong to this network namespace.
  const settings = ['net.ipv4.ip_forward=1', 'net.bridge.bridge-nf-call-iptables=1'];
  await run('sysctl', ['-q', '-w', ...settings]);
  await mkdir(state('cni'), { recursive: true });
  await writeFile(state('cni', '10-bridge.conflist'), JSON.stringify(plugins()));
}

function plugins(): unknown {
  const { bridge, pods, firstPod } = NETWORK;
  return {
    cniVersion: '0.4.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir: state('ipam'),
          ranges: [[{ subnet: pods, rangeStart: firstPod }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}
