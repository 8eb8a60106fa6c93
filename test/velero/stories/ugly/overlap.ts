import { readdir, readFile } from 'node:fs/promises';
import { annotated, inNamespace, postgres, redis } from '../../apps/index.ts';
import { judgeComplete } from '../../stage/late.ts';
import { judgeWhole, restoreInto } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';

const FROM = 'overlap';
const INTO = 'overlap-restored';
const WAITING = 'overlap-waiting';
const POD = 'db-0';
const REDIS_POD = 'redis-0';

/** What docs/velero.md says for backups that overlap. */
const WAIT = annotated({
  'quiesce.dev/hook-timeout': '10m',
  'pre.hook.backup.velero.io/command': '["quiesce","freeze","--wait","--timeout","570s"]',
});

export const overlap: Story = {
  name: 'two-backups',
  group: 'ugly',
  title: 'Two backups of one namespace at once; and another tool’s freeze meets Velero’s',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, INTO, WAITING], async () => {
      const app = postgres(inNamespace(FROM));
      const waiting = redis(inNamespace(WAITING), WAIT);
      await Promise.all([stage.deploy(app), stage.deploy(waiting)]);
      await twoBackups(stage, app);
      await refused(stage);
      await queued(stage);
    });
  },
};

/** Velero makes one after the other. The second one's copy is compared. */
async function twoBackups(stage: Stage, app: ReturnType<typeof postgres>): Promise<void> {
  const [one, two] = [`overlap-1-${stage.tag}`, `overlap-2-${stage.tag}`];
  const options = { namespaces: [FROM] };
  const { ledger } = await underLoad(stage, app, 'overlap', async () => {
    await stage.velero.startBackup(one, options);
    await stage.velero.startBackup(two, options);
    await judgeComplete(stage, await stage.velero.backupEnded(one));
    await judgeComplete(stage, await stage.velero.backupEnded(two));
  });
  const receipts = await stage.sidecar(FROM, POD).receipts();
  const verdicts = receipts.map(({ verdict }) => verdict);
  stage.equal('there were two freezes, both consistent', verdicts, ['consistent', 'consistent']);
  await restoreInto(stage, { name: two, backup: two, from: FROM, into: INTO, pods: [POD] });
  const hold = { freezeCalledAt: new Date(receipts[0]?.requestedAt ?? '') };
  judgeWhole(stage, 'the second copy', await compareIn(stage, app, INTO, ledger, hold));
}

/** Another tool holds the database: Velero's freeze is refused, and neither of the two is called consistent. */
async function refused(stage: Stage): Promise<void> {
  const sidecar = stage.sidecar(FROM, POD);
  stage.equal('another tool freezes', (await sidecar.quiesce('freeze', '--id', 'other')).status, 0);
  const name = `overlap-refused-${stage.tag}`;
  const ended = await stage.velero.backup(name, { namespaces: [FROM] });
  stage.equal('the backup that is refused is not called complete', ended.phase, 'PartiallyFailed');
  const log = (await stage.velero.hookLog(name)).join('\n');
  stage.match('its log says whose freeze it met', log, /FREEZE_HELD.*other/);
  const { status, stderr } = await sidecar.quiesce('thaw', '--id', 'other');
  stage.equal('the other tool’s thaw fails', status, 7);
  stage.match('because the two cannot be told apart', stderr, /thaw-ambiguous|cannot be/);
  stage.equal('nothing stays frozen', (await sidecar.status()).state, 'thawed');
}

/** With --wait in the hook, both succeed. */
async function queued(stage: Stage): Promise<void> {
  const sidecar = stage.sidecar(WAITING, REDIS_POD);
  const held = await sidecar.quiesce('freeze', '--id', 'other', '--ttl', '60s');
  stage.equal('another tool freezes the one whose hooks wait', held.status, 0);
  const name = `overlap-queued-${stage.tag}`;
  await stage.velero.startBackup(name, { namespaces: [WAITING] });
  await until('Velero’s freeze waits', 120_000, freezeWaits);
  const { status, stderr } = await sidecar.quiesce('thaw', '--id', 'other');
  stage.equal('its thaw succeeds', [status, stderr], [0, '']);
  await judgeComplete(stage, await stage.velero.backupEnded(name));
  const [last, first] = await sidecar.receipts();
  const seen = [first?.verdict, last?.verdict];
  stage.equal('both freezes are consistent', seen, ['consistent', 'consistent']);
}

/** Whether the process of a hook that queues runs on the node. */
async function freezeWaits(): Promise<boolean> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (command.includes('freeze\0--wait\0')) return true;
  }
  return false;
}
