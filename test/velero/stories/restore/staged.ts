import type { App, Hold } from '../../apps/index.ts';
import { judgeComplete } from '../../stage/late.ts';
import { judgeWhole } from '../../stage/restored.ts';
import { judgeRestored, restore } from '../../stage/restore-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import type { Story } from '../story.ts';
import { databases, deployAll, judgeNothingLeft, podsIn, restarts } from './parts.ts';

const NAMESPACE = 'staged';
const ROUNDS = Number(process.env['QUIESCE_VELERO_ROUNDS'] ?? 5);

/** The same backup, restored by quiesce and by Velero alone, in turn. */
export const staged: Story = {
  name: 'restore-staged',
  group: 'restore',
  title: `etcd, PostgreSQL and Redis, a queue, two APIs: restored in order no container restarts, ${ROUNDS} times; by Velero alone they do`,
  inCi: true,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const apps = databases(NAMESPACE);
      await deployAll(stage, NAMESPACE, apps);
      const { name, ledger, hold } = await backedUp(stage, apps);
      for (let round = 1; round <= ROUNDS; round += 1) {
        await stage.remove(NAMESPACE);
        const seen = await restore(stage, ['--from-backup', name]);
        const run = judgeRestored(stage, `round ${round}: the restore`, seen);
        stage.equal('its layers', run.layers.map(namesOf), [
          ['etcd'],
          ['db', 'redis'],
          ['queue'],
          ['billing', 'orders'],
        ]);
        stage.equal('no container has started again', await restarts(stage, NAMESPACE), {});
        await judgeNothingLeft(stage, NAMESPACE);
        stage.measure('staged restore', run.rtoSeconds ?? Number.NaN, 's');
        if (round === 1) await judgeData(stage, apps, ledger, hold);
        await stage.remove(NAMESPACE);
        await judgePlain(stage, `${name}-plain-${round}`, name);
      }
    });
  },
};

function namesOf({ members }: { members: readonly { name: string }[] }): readonly string[] {
  return members.map((one) => one.name).toSorted();
}

async function backedUp(stage: Stage, [db]: readonly App[]) {
  if (db === undefined) throw new Error('there is no database');
  const name = `${NAMESPACE}-${stage.tag}`;
  const { ledger } = await underLoad(stage, db, name, async () => {
    await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [NAMESPACE] }), 2);
  });
  const [receipt] = await stage.sidecar(NAMESPACE, 'db-0').receipts();
  return { name, ledger, hold: { freezeCalledAt: new Date(receipt?.requestedAt ?? '') } };
}

async function judgeData(
  stage: Stage,
  [db]: readonly App[],
  ledger: string,
  hold: Hold,
): Promise<void> {
  if (db === undefined) return;
  const { verified, level } = await stage.sidecar(NAMESPACE, 'db-0').restored();
  stage.equal('PostgreSQL is verified', [verified, level], [true, 'position']);
  judgeWhole(stage, 'PostgreSQL', await compareIn(stage, db, NAMESPACE, ledger, hold));
}

/** Velero restores pods first, and all at once. */
async function judgePlain(stage: Stage, restoreName: string, backup: string): Promise<void> {
  const from = performance.now();
  const ended = await stage.velero.restore(restoreName, backup);
  stage.equal('Velero alone completes', ended.phase, 'Completed');
  await until('all pods run', 600_000, async () => {
    const pods = await podsIn(stage, NAMESPACE);
    const ready = await stage.tools.tryKubectl([
      ...['wait', '--for=condition=Ready', 'pods', '--all', '-n', NAMESPACE, '--timeout=1s'],
    ]);
    return pods.length >= 8 && ready.status === 0;
  });
  const seen = await restarts(stage, NAMESPACE);
  const count = Object.values(seen).reduce((sum, one) => sum + one, 0);
  stage.expect('by Velero alone containers start again', count > 0, seen);
  stage.measure('Velero alone: all ready', (performance.now() - from) / 1_000, 's');
  stage.expect(`by Velero alone: ${count} starts again`, true, seen);
}
