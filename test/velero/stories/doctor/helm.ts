import { readFile } from 'node:fs/promises';
import { type App, inNamespace, postgres } from '../../apps/index.ts';
import { commandsIn, installQuiesce, runCommand } from '../../cluster/chart.ts';
import { doctor, finds } from '../../stage/doctor.ts';
import { judgeComplete } from '../../stage/late.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces, underLoad } from '../../stage/under-load.ts';
import { webhookReady } from '../../stage/webhook.ts';
import type { Story } from '../story.ts';

const POD = 'db-0';
const NEW_VALUE = '--set sidecar.hookTimeout=40s';
const TIMEOUT = 'pre.hook.backup.velero.io/timeout';

export const upgrade: Story = {
  name: 'helm-upgrade',
  group: 'doctor',
  title: 'docs/upgrade.md with running pods: a freeze is held over it, a backup works after it',
  inCi: false,
  play: async (stage) => {
    const app = postgres(inNamespace('upgrade'));
    await inNamespaces(stage, [app.namespace], async () => {
      await stage.deploy(app);
      try {
        await upgraded(stage, app);
      } finally {
        await stage.tools.helm(['rollback', 'quiesce', '--namespace', 'quiesce-system']);
        await webhookReady(stage);
      }
      await makeAgain(stage, app);
      stage.equal(
        'after a rollback a new pod has the old timeout',
        await timeoutOf(stage, app),
        '30s',
      );
    });
  },
};

async function upgraded(stage: Stage, app: App): Promise<void> {
  const [upgradeIt = '', rollout = '', examine = '', restart = ''] = commandsIn(
    await readFile('docs/upgrade.md', 'utf8'),
    /^Upgrade/,
  );
  const { namespace } = app;
  const sidecar = stage.sidecar(namespace, POD);
  await underLoad(stage, app, 'upgrade', async (load) => {
    stage.equal('a freeze is held', (await sidecar.quiesce('freeze', '--id', 'over')).status, 0);
    await runCommand(stage.tools, `${upgradeIt} ${NEW_VALUE}`);
    await runCommand(stage.tools, rollout);
    await load.progress(10);
    const { status, stdout } = await sidecar.quiesce('thaw', '--id', 'over');
    stage.equal('its thaw after the upgrade succeeds', status, 0);
    stage.match('and it is consistent', stdout, /consistent/);
    const name = `upgrade-${stage.tag}`;
    await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [namespace] }));
  });
  stage.equal('the page’s third command', examine, 'quiesce doctor');
  const what = 'after the upgrade, for what is still to be restarted';
  await finds(stage, what, 'SIDECAR_OUTDATED', '-n', namespace);
  stage.equal('a running pod keeps its timeout', await timeoutOf(stage, app), '30s');
  await runCommand(stage.tools, restart.replace('NS', namespace).replace('NAME', 'db'));
  const wait = ['-n', namespace, 'rollout', 'status', 'statefulset/db', '--timeout=240s'];
  await stage.tools.kubectl(wait);
  stage.equal('a restarted pod has the new one', await timeoutOf(stage, app), '40s');
  const { exitCode, said } = await doctor(stage, '-n', namespace);
  const others = said.split('\n').filter((line) => line !== '' && !line.startsWith('NO_SCHEDULE'));
  stage.equal('then the doctor reports nothing', [exitCode, others], [0, []]);
}

export const uninstall: Story = {
  name: 'helm-uninstall',
  group: 'doctor',
  title: 'docs/install.md, "Remove it", with running pods; then installed again',
  inCi: false,
  play: async (stage) => {
    const app = postgres(inNamespace('uninstall'));
    await inNamespaces(stage, [app.namespace], async () => {
      await stage.deploy(app);
      try {
        await uninstalled(stage, app);
      } finally {
        await installQuiesce(stage.tools);
      }
      await makeAgain(stage, app);
      const names = await containersOf(stage, app);
      stage.equal('installed again, a new pod has a sidecar', names, 'postgres quiesce');
      const name = `installed-again-${stage.tag}`;
      const options = { namespaces: [app.namespace] };
      await judgeComplete(stage, await stage.velero.backup(name, options));
    });
  },
};

async function uninstalled(stage: Stage, app: App): Promise<void> {
  const page = await readFile('docs/install.md', 'utf8');
  for (const command of commandsIn(page, /^Remove it/)) await runCommand(stage.tools, command);
  stage.equal('nothing of it is left in the cluster', await leftOver(stage), '');
  const names = await containersOf(stage, app);
  stage.equal('a running pod keeps its sidecar', names, 'postgres quiesce');
  const name = `uninstalled-${stage.tag}`;
  await underLoad(stage, app, name, async () => {
    const options = { namespaces: [app.namespace] };
    await judgeComplete(stage, await stage.velero.backup(name, options));
  });
  await makeAgain(stage, app);
  stage.equal('a new pod has none', await containersOf(stage, app), 'postgres');
}

/** Objects with the chart’s name or label. Pods may take a while to end. */
async function leftOver({ tools }: Stage): Promise<string> {
  const pods = ['wait', '--for=delete', 'pod', '-l', 'app.kubernetes.io/name=quiesce'];
  await tools.kubectl(['-n', 'quiesce-system', ...pods, '--timeout=120s']);
  const kinds = [
    'mutatingwebhookconfigurations,clusterroles,clusterrolebindings,roles,rolebindings',
    'deployments,replicasets,pods,services,serviceaccounts,secrets,configmaps',
    'networkpolicies,poddisruptionbudgets',
  ];
  const list = await tools.kubectl(['get', kinds.join(), '-A', '-o', 'name']);
  const named = list.split('\n').filter((name) => /\/quiesce|webhook-tls/.test(name));
  return named.join(' ');
}

async function makeAgain(stage: Stage, { namespace, pods }: App): Promise<void> {
  await stage.tools.kubectl(['-n', namespace, 'delete', 'pod', ...pods, '--wait=true']);
  await stage.ready(namespace, pods);
}

async function containersOf({ tools }: Stage, { namespace }: App): Promise<string> {
  const names = ['-o', 'jsonpath={.spec.containers[*].name}'];
  return await tools.kubectl(['-n', namespace, 'get', 'pod', POD, ...names]);
}

async function timeoutOf({ tools }: Stage, { namespace }: App): Promise<string | undefined> {
  const { metadata } = await tools.get<{ metadata: { annotations: Record<string, string> } }>(
    'pod',
    POD,
    '-n',
    namespace,
  );
  return metadata.annotations[TIMEOUT];
}
