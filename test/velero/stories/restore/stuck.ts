import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { quiesce } from '../../stage/group-run.ts';
import { judgeComplete } from '../../stage/late.ts';
import { judgeRestored, restore, runIn } from '../../stage/restore-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { withoutWebhook } from '../../stage/webhook.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';
import {
  databases,
  deployAll,
  gated,
  judgeNothingLeft,
  podsIn,
  restarts,
  suspended,
} from './parts.ts';

const NAMESPACE = 'stuck';

/** What goes wrong on the worst day: the webhook is down, a layer does not come up, pods are evicted. */
export const stuck: Story = {
  name: 'restore-stuck',
  group: 'restore',
  title:
    'quiesce restore without the webhook, with a layer that does not come up, with pods that are evicted: nothing starts out of order, and --resume and --release end it',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const apps = databases(NAMESPACE);
      await deployAll(stage, NAMESPACE, apps);
      const name = `${NAMESPACE}-${stage.tag}`;
      await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [NAMESPACE] }), 2);
      await stage.remove(NAMESPACE);
      await withoutWebhook(stage, async () => await judgeDown(stage, name));
      const run = await judgeStuck(stage, name);
      await judgeResumed(stage, run);
      await stage.remove(NAMESPACE);
      await judgeReleased(stage, name);
    });
  },
};

async function judgeDown(stage: Stage, backup: string): Promise<void> {
  const { ran } = await restore(stage, ['--from-backup', backup]);
  stage.equal('without the webhook nothing is restored', ran.status, 2);
  stage.match('it says so', ran.stderr, /RESTORE_NOT_GATED/);
  stage.equal('there is no pod', await podsIn(stage, NAMESPACE), []);
  const { items } = await stage.tools.get<{ items: readonly { metadata: { name: string } }[] }>(
    ...['restores.velero.io', '-n', 'velero'],
  );
  const ours = items.filter(({ metadata }) => metadata.name.startsWith(NAMESPACE));
  stage.equal('Velero was not asked', ours, []);
}

/** A Service that leads nowhere keeps the queue from coming up. */
async function judgeStuck(stage: Stage, backup: string): Promise<string> {
  const flags = ['--from-backup', backup, '--layer-timeout', '45s'];
  const child = spawn(process.execPath, ['dist/cli.js', 'restore', ...flags, '-o', 'json'], {
    env: { ...process.env, ...stage.tools.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const ended = once(child, 'close');
  await until('etcd is there', 120_000, async () => (await podsIn(stage, NAMESPACE)).length > 5);
  const where = ['-n', NAMESPACE];
  await stage.tools.kubectl([
    ...['patch', 'service', 'redis', ...where, '--type=merge', '-p'],
    JSON.stringify({ spec: { selector: { app: 'nobody' } } }),
  ]);
  await until('the databases are up', 240_000, async () => {
    const waiting = await gated(stage, NAMESPACE);
    return !waiting.includes('queue-0') && !waiting.includes('db-0');
  });
  await judgeEvicted(stage);
  await withoutWebhook(stage, async () => await judgeRefused(stage));
  const [status] = (await ended) as [number];
  const run = JSON.parse(printed) as Awaited<ReturnType<typeof restore>>['run'];
  stage.equal('the run fails', [status, run?.verdict], [5, 'failed']);
  const queue = run?.members.find(({ name }) => name === 'queue');
  stage.expect('it says which pod, and why', queue?.problems.length !== 0, queue?.problems);
  stage.match('it says how to go on', JSON.stringify(run?.problems), /--resume stuck-/);
  const waiting = (await gated(stage, NAMESPACE)).map((one) => one.replace(/-[^-]+-[^-]+$/, ''));
  stage.equal(
    'the layer after it waits',
    [...new Set(waiting)].toSorted(),
    ['billing', 'orders', 'reindex'].filter((one) => waiting.includes(one)),
  );
  stage.expect(
    'both APIs wait',
    waiting.includes('billing') && waiting.includes('orders'),
    waiting,
  );
  stage.equal('CronJobs wait', await suspended(stage, NAMESPACE), { nightly: true, paused: true });
  return run?.id ?? '';
}

/** A pod of a released layer comes back at once; one of a later layer waits. */
async function judgeEvicted(stage: Stage): Promise<void> {
  const where = ['-n', NAMESPACE];
  const api = (await gated(stage, NAMESPACE)).find((one) => one.startsWith('orders-'));
  const before = new Set((await podsIn(stage, NAMESPACE)).map(({ metadata }) => metadata.name));
  await stage.tools.kubectl(['delete', 'pod', 'etcd-0', ...where, '--wait=true']);
  await stage.ready(NAMESPACE, ['etcd-0']);
  stage.expect('a pod of a released layer comes back at once', true);
  await stage.tools.kubectl(['delete', 'pod', api ?? '', ...where, '--wait=true']);
  const fresh = await until('its ReplicaSet makes another one', 60_000, async () => {
    const names = (await podsIn(stage, NAMESPACE)).map(({ metadata }) => metadata.name);
    return names.find((one) => one.startsWith('orders-') && !before.has(one));
  });
  stage.expect(
    'a pod of a later layer waits',
    (await gated(stage, NAMESPACE)).includes(fresh),
    fresh,
  );
}

/** While the webhook is down in the middle of a run, no pod is created: nothing starts out of order. */
async function judgeRefused(stage: Stage): Promise<void> {
  const made = await stage.tools.tryKubectl([
    ...['run', 'stranger', '-n', NAMESPACE, '--image=none', '--restart=Never'],
  ]);
  stage.match('without the webhook no pod is created there', made.stderr, /restore\.quiesce\.dev/);
}

async function judgeResumed(stage: Stage, run: string): Promise<void> {
  await stage.tools.kubectl([
    ...['patch', 'service', 'redis', '-n', NAMESPACE, '--type=merge', '-p'],
    JSON.stringify({ spec: { selector: { app: 'redis' } } }),
  ]);
  const done = judgeRestored(stage, 'the rest', await restore(stage, ['--resume', run]));
  stage.equal('it is the same run', done.id, run);
  const seen = await restarts(stage, NAMESPACE);
  const others = Object.keys(seen).filter((one) => !one.startsWith('queue-'));
  stage.equal('only the queue has started again', others, []);
  await judgeNothingLeft(stage, NAMESPACE);
}

async function judgeReleased(stage: Stage, backup: string): Promise<void> {
  const child = spawn(process.execPath, ['dist/cli.js', 'restore', '--from-backup', backup], {
    env: { ...process.env, ...stage.tools.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(child, 'close');
  await until('the queue waits', 180_000, async () => {
    return (await gated(stage, NAMESPACE)).includes('queue-0');
  });
  child.kill('SIGINT');
  const [status] = (await ended) as [number];
  const run = await runIn(stage, NAMESPACE);
  stage.equal('Ctrl-C ends it', status, 5);
  stage.match('it says how to go on', said, new RegExp(`--resume ${run}`));
  const released = await quiesce(stage, ['restore', '--release', run]);
  stage.equal('--release succeeds', [released.status, released.stderr], [0, '']);
  await judgeNothingLeft(stage, NAMESPACE);
  await stage.ready(NAMESPACE, ['queue-1'], 300_000);
  stage.expect('everything comes up in the end', true);
}
