import {
  inNamespace,
  leastPrivileged,
  mongodb,
  ownPsqlHooks,
  ownQuiesceHooks,
  postgres,
  redis,
  restricted as restrictedPods,
  underQuota,
} from '../apps/index.ts';
import { oneSecondary } from '../stage/one-secondary.ts';
import { eventsOf } from '../stage/steps.ts';
import { inNamespaces } from '../stage/under-load.ts';
import type { Stage } from '../stage/stage.ts';
import type { App } from '../apps/index.ts';
import { until } from '../wait.ts';
import { backupAndRestore } from './backup-restore.ts';
import type { Story } from './story.ts';

export const restricted: readonly Story[] = [
  mainPath(
    'restricted-postgres',
    'PostgreSQL under pod security "restricted", least privileges',
    () => postgres(inNamespace('strict'), restrictedPods, leastPrivileged),
  ),
  mainPath('restricted-redis', 'Redis under pod security "restricted"', () =>
    redis(inNamespace('strict-redis'), restrictedPods),
  ),
  mainPath(
    'restricted-mongodb',
    'MongoDB, a secondary of a set of three, under pod security "restricted"',
    () => mongodb(inNamespace('strict-mongo'), restrictedPods),
    oneSecondary,
  ),
  mainPath(
    'quota-postgres',
    'a ResourceQuota with CPU and memory limits, without a LimitRange',
    () => postgres(inNamespace('quota'), underQuota({ limitRange: false })),
  ),
  mainPath('quota-redis', 'a ResourceQuota with CPU and memory limits, and a LimitRange', () =>
    redis(inNamespace('quota-redis'), underQuota()),
  ),
  mainPath('own-quiesce-hooks', 'hooks of the user’s own that call quiesce with other flags', () =>
    postgres(inNamespace('own-flags'), ownQuiesceHooks),
  ),
  {
    name: 'own-hooks',
    group: 'restricted',
    title:
      'a user’s own hooks: the webhook leaves them alone and says so, and a restore is unproven',
    inCi: false,
    play: ownHooks,
  },
];

function mainPath(
  name: string,
  title: string,
  make: () => App,
  choose?: (stage: Stage, app: App) => Promise<readonly string[]>,
): Story {
  return {
    name,
    group: 'restricted',
    title,
    inCi: false,
    play: async (stage) => {
      const app = make();
      const frozen = async (): Promise<readonly string[]> =>
        (await choose?.(stage, app)) ?? app.pods;
      await backupAndRestore(stage, app, { name, frozen });
    },
  };
}

async function ownHooks(stage: Stage): Promise<void> {
  const app = postgres(inNamespace('own-hooks'), ownPsqlHooks);
  const { namespace } = app;
  await inNamespaces(stage, [namespace], async () => {
    await stage.deploy(app);
    const messages = await until('the Event', 30_000, async () => {
      const found = await eventsOf(stage, namespace, 'HooksNotAdded');
      return found.length > 0 && found;
    });
    stage.match(
      'an Event says that no hook was added',
      messages.join(),
      /Velero will not freeze it/,
    );
    const { metadata } = await stage.tools.get<{
      metadata: { annotations: Record<string, string> };
    }>('pod', 'db-0', '-n', namespace);
    const command = metadata.annotations['pre.hook.backup.velero.io/command'] ?? '';
    stage.match('the hook is the user’s', command, /CHECKPOINT/);
    const name = `own-hooks-${stage.tag}`;
    const ended = await stage.velero.backup(name, { namespaces: [namespace] });
    stage.equal(
      'the user’s hooks run',
      [ended.phase, ended.hooks],
      ['Completed', { attempted: 2, failed: 0 }],
    );
    const receipts = await stage.sidecar(namespace, 'db-0').receipts();
    stage.equal('nothing was frozen', receipts.length, 0);
    await stage.remove(namespace);
    await stage.velero.restore(name, name);
    await stage.ready(namespace, app.pods);
    const restore = await stage.sidecar(namespace, 'db-0').restored();
    stage.equal('the restore is called unproven', restore.level, 'unproven');
  });
}
