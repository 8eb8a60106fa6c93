import type { Stage } from './stage.ts';

const WHERE = ['-n', 'quiesce-system'];
const DEPLOYMENT = 'deployment/quiesce-webhook';

/** Does something while no replica of the webhook runs. */
export async function withoutWebhook(stage: Stage, act: () => Promise<void>): Promise<void> {
  const { tools } = stage;
  const replicas = await tools.kubectl([
    ...WHERE,
    'get',
    DEPLOYMENT,
    '-o',
    'jsonpath={.spec.replicas}',
  ]);
  await tools.kubectl([...WHERE, 'scale', DEPLOYMENT, '--replicas=0']);
  try {
    const pods = ['pod', '-l', 'app.kubernetes.io/component=webhook', '--timeout=120s'];
    await tools.kubectl([...WHERE, 'wait', '--for=delete', ...pods]);
    await act();
  } finally {
    await tools.kubectl([...WHERE, 'scale', DEPLOYMENT, `--replicas=${replicas}`]);
    await webhookReady(stage);
  }
}

export async function webhookReady({ tools }: Stage): Promise<void> {
  await tools.kubectl([...WHERE, 'rollout', 'status', DEPLOYMENT, '--timeout=180s']);
}
