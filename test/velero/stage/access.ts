import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Access, Forwarded } from '../apps/index.ts';
import type { Tools } from '../kubectl.ts';
import { until } from '../wait.ts';

/** The pods of a namespace, from where this process runs: the node reaches every pod by its address. */
export function accessTo(tools: Tools, namespace: string): Access {
  return {
    namespace,
    reach: async (pod) => await addressOf(tools, namespace, pod),
    forward: async (pod, port) => await forward(tools, namespace, pod, port),
  };
}

async function addressOf(tools: Tools, namespace: string, pod: string): Promise<string> {
  return await until(`${namespace}/${pod} has an address`, 60_000, async () => {
    const { status } = await tools.get<{ status: { podIP?: string } }>('pod', pod, '-n', namespace);
    return status.podIP;
  });
}

/** `kubectl port-forward` to the pod's own loopback. */
async function forward(
  tools: Tools,
  namespace: string,
  pod: string,
  port: number,
): Promise<Forwarded> {
  const kubectl = join(tools.programs.folders.clients, 'kubectl');
  const args = ['-n', namespace, 'port-forward', `pod/${pod}`, `:${port}`];
  const child = spawn(kubectl, args, {
    env: { ...process.env, ...tools.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const local = await until(`port-forward to ${namespace}/${pod}`, 30_000, async () => {
    if (child.exitCode !== null) throw new Error(said);
    return /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1];
  });
  return {
    port: Number(local),
    close: async () => {
      // It ends by itself when the pod's container does.
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      await closed;
    },
  };
}
