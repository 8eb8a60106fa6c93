import { writeFile } from 'node:fs/promises';
import { type App, holdOf, inNamespace, postgres, readLedger, redis } from '../../apps/index.ts';
import { state } from '../../layout.ts';
import { judgeProven, quiesce, type RunSeen, snapshot } from '../../stage/group-run.ts';
import { judgeRestored, restore } from '../../stage/restore-run.ts';
import { judgeWhole } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';
import { underLoads } from '../group/whole.ts';
import type { Story } from '../story.ts';

const FROM = 'snapped';
const INTO = 'snapped-2';

/** One run of `quiesce snapshot`, restored elsewhere, in place, and after the namespace is gone. */
export const snapshots: Story = {
  name: 'restore-snapshots',
  group: 'restore',
  title:
    'a run of quiesce snapshot: restored into another namespace, in place, and after the namespace is gone',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, INTO], async () => {
      const apps = appsIn(FROM);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      const ledgers: string[] = [];
      const run = await underLoads(stage, apps, ledgers, async () =>
        judgeProven(stage, 'the run', await snapshot(stage, ['-n', FROM])),
      );
      const before = await contentsOf(stage, run);
      await elsewhere(stage, run, ledgers);
      await inPlace(stage, run, ledgers);
      await anew(stage, run, ledgers, apps);
      stage.equal('the snapshots of the run are all there', await contentsOf(stage, run), before);
      await refused(stage, run);
    });
  },
};

function appsIn(namespace: string): readonly App[] {
  return [postgres(inNamespace(namespace)), redis(inNamespace(namespace))];
}

async function elsewhere(stage: Stage, run: RunSeen, ledgers: readonly string[]): Promise<void> {
  const seen = await restore(stage, ['--from-snapshot', run.id, '-n', FROM, '--to', INTO]);
  const done = judgeRestored(stage, 'into another namespace: the restore', seen);
  await judgeData(stage, INTO, run, ledgers);
  const left = await named(stage, 'volumesnapshotcontent', `quiesce.dev/restore=${done.id}`);
  stage.equal('it leaves no content of its own', left, []);
  await stage.remove(INTO);
}

async function inPlace(stage: Stage, run: RunSeen, ledgers: readonly string[]): Promise<void> {
  const seen = await restore(stage, ['--from-snapshot', run.id, '-n', FROM, '--replace']);
  const { id } = judgeRestored(stage, 'in place: the restore', seen);
  await judgeData(stage, FROM, run, ledgers);
  const label = `quiesce.dev/replaced-by=${id}`;
  stage.equal('the volumes before are kept', (await named(stage, 'pv', label)).length, 2);
  const deleted = await quiesce(stage, ['restore', '--delete-replaced', id]);
  stage.equal('they can be deleted', deleted.status, 0);
  await until('the replaced volumes are gone', 120_000, async () => {
    return (await named(stage, 'pv', label)).length === 0;
  });
}

/** The class retains contents, so they outlive the namespace. */
async function anew(
  stage: Stage,
  run: RunSeen,
  ledgers: readonly string[],
  apps: readonly App[],
): Promise<void> {
  await stage.remove(FROM);
  const alone = await restore(stage, ['--from-snapshot', run.id, '-n', FROM]);
  stage.equal('without objects it is refused', alone.ran.status, 2);
  stage.match('and says what is missing', alone.ran.stdout, /OBJECTS_MISSING[\s\S]*-f/);
  const file = state('snapped.yaml');
  await writeFile(file, apps.map((app) => app.manifest()).join('\n---\n'));
  const seen = await restore(stage, ['--from-snapshot', run.id, '-n', FROM, '-f', file]);
  judgeRestored(stage, 'after the namespace is gone: the restore', seen);
  await judgeData(stage, FROM, run, ledgers);
}

async function judgeData(
  stage: Stage,
  namespace: string,
  run: RunSeen,
  ledgers: readonly string[],
): Promise<void> {
  for (const [index, app] of appsIn(namespace).entries()) {
    const access = stage.access(namespace);
    await app.afterRestore(access);
    for (const pod of app.pods) {
      const { verified, level, id } = await stage.sidecar(namespace, pod).restored();
      const wanted = [true, 'position', run.id];
      stage.equal(`${namespace} ${pod}: verified against the run`, [verified, level, id], wanted);
    }
    const receipts = run.members.flatMap((member) =>
      member.receipts.flatMap(({ pod, receipt }) =>
        receipt !== undefined && app.pods.includes(pod) ? [receipt] : [],
      ),
    );
    const ledger = await readLedger(ledgers[index] ?? '');
    const compared = await app.compare(access, ledger, holdOf(receipts));
    judgeWhole(stage, `${namespace} ${app.engine}`, compared);
  }
}

async function refused(stage: Stage, run: RunSeen): Promise<void> {
  const failed = ['--overwrite', 'quiesce.dev/verdict=failed'];
  const own = ['-l', `quiesce.dev/run=${run.id}`];
  await stage.tools.kubectl(['label', 'volumesnapshotcontent', ...own, ...failed]);
  const seen = await restore(stage, ['--from-snapshot', run.id, '-n', FROM, '--to', INTO]);
  stage.equal('a failed run is refused', seen.ran.status, 2);
  stage.match('by its verdict', seen.ran.stdout, /RUN_NOT_RESTORABLE/);
}

async function contentsOf(stage: Stage, { id }: RunSeen): Promise<readonly string[]> {
  return await named(stage, 'volumesnapshotcontent', `quiesce.dev/run=${id}`);
}

async function named(stage: Stage, kind: string, label: string): Promise<readonly string[]> {
  const { items } = await stage.tools.get<{ items: readonly { metadata: { name: string } }[] }>(
    kind,
    '-l',
    label,
  );
  return items.map(({ metadata }) => metadata.name).toSorted();
}
