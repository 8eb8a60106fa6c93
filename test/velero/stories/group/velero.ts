import { writeFile } from 'node:fs/promises';
import { type App, holdOf, readLedger } from '../../apps/index.ts';
import { state } from '../../layout.ts';
import { quiesce } from '../../stage/group-run.ts';
import { judgeWhole } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { judgeRestored } from '../backup-restore.ts';
import { judgeHolds, membersOf } from '../together.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';
import { judgeNothingHeld, underLoads } from './whole.ts';

const FROM = 'group-velero';
const INTO = 'group-velero-restored';

/** A Schedule as its user wrote it: nothing in it is about pods. */
const SCHEDULE = `
# every night
apiVersion: velero.io/v1
kind: Schedule
metadata: { name: ${FROM}, namespace: velero }
spec:
  schedule: 0 3 * * *
  template:
    includedNamespaces: [${FROM}]
`;

/** What `quiesce plan --velero` prints makes Velero itself freeze the group together. */
export const velero: Story = {
  name: 'group-velero',
  group: 'group',
  title: 'quiesce plan --velero: Velero freezes PostgreSQL and Redis together; nothing missing',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, INTO], async () => {
      const apps = appsIn(FROM);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      await stage.tools.apply(await planned(stage));
      try {
        await backUpAndRestore(stage, apps);
      } finally {
        await stage.tools.kubectl(['-n', 'velero', 'delete', 'schedule', FROM]);
      }
    });
  },
};

/** @returns the Schedule that the plan prints */
async function planned(stage: Stage): Promise<string> {
  const file = state(`schedule-${stage.tag}.yaml`);
  await writeFile(file, SCHEDULE);
  const { status, stdout, stderr } = await quiesce(stage, ['plan', '-n', FROM, '--velero', file]);
  stage.equal('quiesce plan --velero succeeds', status, 0);
  const pods = `pods: ${FROM}/db-0,${FROM}/redis-0`;
  stage.expect('it lists the pods, those that block last', stdout.includes(pods), stdout);
  stage.expect('the user’s own lines stay', stdout.includes('# every night'), stdout);
  stage.match('it says how long the members are held', stderr, /held for about \d+ s/);
  return stdout;
}

async function backUpAndRestore(stage: Stage, apps: readonly App[]): Promise<void> {
  const name = `${FROM}-${stage.tag}`;
  const ledgers: string[] = [];
  const ended = await underLoads(stage, apps, ledgers, () => stage.velero.backupFrom(FROM, name));
  stage.equal('the backup completes', [ended.phase, ended.errors], ['Completed', 0]);
  stage.equal('its hooks', ended.hooks, { attempted: 4, failed: 0 });
  const receipts = await judgeHolds(stage, membersOf(apps));
  await judgeNothingHeld(stage, apps);
  const restore = await stage.velero.restore(name, name, [
    '--namespace-mappings',
    `${FROM}:${INTO}`,
  ]);
  stage.equal('the restore completes', [restore.phase, restore.errors], ['Completed', 0]);
  for (const [index, app] of apps.entries()) {
    const [pod = ''] = app.pods;
    await stage.ready(INTO, [pod]);
    await judgeRestored(stage, INTO, pod, name);
    const access = stage.access(INTO);
    await app.afterRestore(access);
    const hold = holdOf(receipts.slice(index, index + 1));
    const compared = await app.compare(access, await readLedger(ledgers[index] ?? ''), hold);
    judgeWhole(stage, app.engine, compared);
  }
}
