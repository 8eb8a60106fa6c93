import { readFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import type { App } from '../../apps/index.ts';
import { commandsIn } from '../../cluster/chart.ts';
import {
  type Account,
  grant,
  kubeconfigOf,
  rightsOf,
  type RoleRight,
  textOf,
} from '../../stage/account.ts';
import { judgeProven, quiesce, snapshot } from '../../stage/group-run.ts';
import { withRelease } from '../../stage/release.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';
import { judgeNothingHeld } from './whole.ts';

const NAMESPACE = 'group-rights';
const RELEASE = 'quiesce-system';
const ALONE = ['-n', NAMESPACE, '--no-group-snapshot'];
const LESS: Account = { namespace: RELEASE, name: 'less' };
/** Two ways to a sidecar: without the one, a run takes the other. */
const WAYS = ['pods/portforward', 'pods/exec'];

/** The rights of the chart's schedules are enough, and none of them is superfluous. */
export const rights: Story = {
  name: 'group-rights',
  group: 'group',
  title: 'the rights of a schedule are enough; with one less, a run says which before it freezes',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const apps = appsIn(NAMESPACE);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      const [command = ''] = commandsIn(await readFile('docs/schedules.md', 'utf8'), /^# /);
      await withRelease(stage, { command, values: stringify({ schedules: SCHEDULES }) }, () =>
        judgeRights(stage, apps),
      );
    });
  },
};

const SCHEDULES = ['alone', 'together'].map((name) => ({
  name,
  schedule: '0 0 1 1 *',
  suspend: true,
  namespaces: [NAMESPACE],
  groupSnapshots: name === 'together',
}));

async function judgeRights(stage: Stage, apps: readonly App[]): Promise<void> {
  await judgeEnough(stage);
  await stage.tools.kubectl(['-n', RELEASE, 'create', 'serviceaccount', LESS.name]);
  try {
    const file = await kubeconfigOf(stage, LESS);
    const alone = await rightsOfSchedule(stage, 'alone');
    await judgeWays(stage, file, alone);
    const before = await receipts(stage, apps);
    for (const right of alone.filter(({ resource }) => !WAYS.includes(resource))) {
      await withoutLease(stage);
      await grant(stage, LESS, alone, [right]);
      await judgeRefused(stage, file, [right]);
    }
    stage.equal('nothing was ever frozen', await receipts(stage, apps), before);
    await judgeNothingHeld(stage, apps);
    await judgeGroupRights(stage, file, alone);
  } finally {
    const names = ['serviceaccount/less', '-n', RELEASE];
    await stage.tools.kubectl(['delete', ...names]);
    await stage.tools.kubectl(['delete', 'clusterrole/less', 'clusterrolebinding/less']);
  }
}

/** Each schedule's own account runs the command from outside, with a token. */
async function judgeEnough(stage: Stage): Promise<void> {
  for (const name of ['alone', 'together']) {
    const file = await kubeconfigOf(stage, accountOf(name));
    const flags = name === 'alone' ? ALONE : ['-n', NAMESPACE];
    const seen = await snapshot(stage, [...flags, '--keep', '2', '--kubeconfig', file]);
    const run = judgeProven(stage, `the account of the schedule ${name}`, seen);
    const kind = name === 'alone' ? 'complete-to' : 'exact';
    stage.equal(`${name}: how its members stand`, run.together?.kind, kind);
  }
}

/** A run needs one way to its sidecars. Either is enough; without both it says what it needs. */
async function judgeWays(stage: Stage, file: string, all: readonly RoleRight[]): Promise<void> {
  const of = (way: string): readonly RoleRight[] => all.filter(({ resource }) => resource === way);
  const [forward = '', exec = ''] = WAYS;
  for (const way of [forward, exec]) {
    await grant(stage, LESS, all, of(way));
    const seen = await snapshot(stage, [...ALONE, '--kubeconfig', file]);
    judgeProven(stage, `without ${way}`, seen);
  }
  for (const right of [...of(forward), ...of(exec)]) {
    const other = of(right.resource === forward ? exec : forward);
    await grant(stage, LESS, all, [right, ...other]);
    await judgeRefused(stage, file, [right]);
  }
}

/** Without a right on group snapshots, each volume gets a snapshot of its own, and the run says why. */
async function judgeGroupRights(
  stage: Stage,
  file: string,
  alone: readonly RoleRight[],
): Promise<void> {
  const all = await rightsOfSchedule(stage, 'together');
  const own = all.filter((one) => !alone.some((other) => textOf(other) === textOf(one)));
  for (const right of own) {
    await grant(stage, LESS, all, [right]);
    if (right.resource === 'volumegroupsnapshotclasses') {
      await judgeRefused(stage, file, [right], ['-n', NAMESPACE]);
      continue;
    }
    const { ran, run } = await snapshot(stage, ['-n', NAMESPACE, '--kubeconfig', file]);
    const note = run?.problems.find(({ code }) => code === 'GROUP_SNAPSHOT_FORBIDDEN');
    const seen = [run?.verdict, run?.together?.kind, note?.message.includes(textOf(right))];
    const wanted = ['proven', 'complete-to', true];
    stage.equal(`without ${textOf(right)}: less than exact, and says so`, seen, wanted);
    if (run === undefined) stage.expect('it made a run', false, ran.stdout + ran.stderr);
  }
}

/** The run ends before anything is frozen, names the right, and prints what grants it. */
async function judgeRefused(
  stage: Stage,
  file: string,
  missing: readonly RoleRight[],
  flags: readonly string[] = ALONE,
): Promise<void> {
  const what = `without ${missing.map(textOf).join(', ')}`;
  const ran = await quiesce(stage, ['snapshot', ...flags, '--kubeconfig', file]);
  const [line = '', ...manifest] = ran.stderr.split('\n');
  const named = missing.every((right) => line.includes(textOf(right)));
  const seen = [ran.status, ran.stdout, line.startsWith('quiesce: FORBIDDEN: '), named];
  const wanted = [3, '', true, true];
  const ok = seen.every((one, index) => one === wanted[index]);
  stage.expect(`${what}: refused, and names it`, ok, { seen, said: ran.stderr.slice(-1_200) });
  const dry = ['apply', '--dry-run=server', '-f', '-'];
  const applied = await stage.tools.tryKubectl(dry, { input: manifest.join('\n') });
  stage.expect(`${what}: its manifest can be applied`, applied.status === 0, applied.stderr);
}

function accountOf(schedule: string): Account {
  return { namespace: RELEASE, name: `quiesce-snapshot-${schedule}` };
}

async function rightsOfSchedule(stage: Stage, name: string): Promise<readonly RoleRight[]> {
  const role = `${RELEASE}-${accountOf(name).name}`;
  const parts = await Promise.all([rightsOf(stage, role, NAMESPACE), rightsOf(stage, role)]);
  return parts.flat();
}

async function withoutLease(stage: Stage): Promise<void> {
  await stage.tools.kubectl(['-n', NAMESPACE, 'delete', 'leases', '--all']);
}

async function receipts(stage: Stage, apps: readonly App[]): Promise<readonly number[]> {
  const pods = apps.flatMap((app) => app.pods);
  const lists = await Promise.all(pods.map((pod) => stage.sidecar(NAMESPACE, pod).receipts()));
  return lists.map((list) => list.length);
}
