import { until } from '../wait.ts';
import type { Stage } from './stage.ts';

const WHERE = ['-n', 'quiesce-system'];
const DEPLOYMENT = 'deployment/quiesce-webhook';
const REPLICAS = ['-l', 'app.kubernetes.io/component=webhook'];

interface Replica {
  readonly metadata: { readonly deletionTimestamp?: string };
}

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
    await tools.kubectl([...WHERE, 'wait', '--for=delete', 'pod', ...REPLICAS, '--timeout=120s']);
    await act();
  } finally {
    await tools.kubectl([...WHERE, 'scale', DEPLOYMENT, `--replicas=${replicas}`]);
    await webhookReady(stage);
  }
}

/** Waits until the present replicas are ready and those of earlier revisions are gone: they answer until then. */
export async function webhookReady({ tools }: Stage): Promise<void> {
  await tools.kubectl([...WHERE, 'rollout', 'status', DEPLOYMENT, '--timeout=180s']);
  await until('only the present replicas of the webhook run', 120_000, async () => {
    const { items } = await tools.get<{ items: readonly Replica[] }>('pods', ...WHERE, ...REPLICAS);
    return items.every(({ metadata }) => metadata.deletionTimestamp === undefined);
  });
}
