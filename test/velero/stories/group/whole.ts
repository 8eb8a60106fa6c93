import {
  annotated,
  type App,
  type Edit,
  holdOf,
  inNamespace,
  mongodb,
  oneMember,
  postgres,
  readLedger,
  redis,
} from '../../apps/index.ts';
import { bringUp } from '../../stage/from-snapshots.ts';
import { judgeProven, quiesce, type RunSeen, snapshot } from '../../stage/group-run.ts';
import { initContainer, judgeWhole } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { PATIENT_MS } from '../../stage/steps.ts';
import { inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const FROM = 'shop';
const INTO = 'shop-restored';

/** PostgreSQL, Redis and MongoDB in one namespace, under load. */
export const whole: Story = {
  name: 'group-snapshot',
  group: 'group',
  title: 'quiesce snapshot: PostgreSQL, Redis and MongoDB at once, under load; nothing missing',
  inCi: true,
  play: async (stage) => {
    await inNamespaces(stage, [FROM, INTO], async () => {
      const apps = appsIn(FROM);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      await judgePlan(stage);
      const ledgers: string[] = [];
      const run = await underLoads(stage, apps, ledgers, async () =>
        judgeProven(stage, 'the run', await snapshot(stage, ['-n', FROM])),
      );
      stage.measure('freeze spread', run.freezeSpreadMs);
      await judgeList(stage, run);
      await judgeNothingHeld(stage, apps);
      await judgeRestored(stage, run, ledgers);
    });
  },
};

function appsIn(namespace: string, ...edits: readonly Edit[]): readonly App[] {
  const where = inNamespace(namespace);
  return [postgres(where, ...edits), redis(where, ...edits), mongodb(where, oneMember, ...edits)];
}

async function judgePlan(stage: Stage): Promise<void> {
  const { status, stdout, stderr } = await quiesce(stage, ['plan', '-n', FROM, '-o', 'json']);
  stage.equal('quiesce plan succeeds', [status, stderr], [0, '']);
  const { layers = [] } = JSON.parse(stdout) as {
    layers?: readonly { members: readonly { name: string; engine?: string; pods: string[] }[] }[];
  };
  const members = layers.flatMap((layer) => layer.members);
  const seen = members.map(({ name, engine, pods }) => `${name} ${engine} ${pods.join()}`);
  const wanted = ['db postgres db-0', 'mongo mongodb mongo-0', 'redis redis redis-0'];
  stage.equal('it has the three databases and their pods', seen.toSorted(), wanted);
}

/** All loads at once, around one act. */
export async function underLoads<T>(
  stage: Stage,
  [app, ...others]: readonly App[],
  ledgers: string[],
  act: () => Promise<T>,
): Promise<T> {
  if (app === undefined) return await act();
  const name = `group-${app.engine}`;
  const inner = (): Promise<T> => underLoads(stage, others, ledgers, act);
  const { ledger, result } = await underLoad(stage, app, name, inner, PATIENT_MS);
  ledgers.unshift(ledger);
  return result;
}

async function judgeList(stage: Stage, { id }: RunSeen): Promise<void> {
  const list = await quiesce(stage, ['snapshots', '-n', FROM]);
  stage.match('quiesce snapshots lists it as proven', list.stdout, new RegExp(`${id}.*proven`));
  const shown = await quiesce(stage, ['snapshots', id, '-n', FROM]);
  stage.match('quiesce snapshots RUN shows it', shown.stdout, /proven[\s\S]*db/i);
}

export async function judgeNothingHeld(stage: Stage, apps: readonly App[]): Promise<void> {
  for (const { namespace, pods } of apps) {
    for (const pod of pods) {
      const { state } = await stage.sidecar(namespace, pod).status();
      stage.equal(`${pod}: nothing is held`, state, 'thawed');
    }
  }
}

async function judgeRestored(
  stage: Stage,
  run: RunSeen,
  ledgers: readonly string[],
): Promise<void> {
  const mark = `${INTO}-${stage.tag}`;
  const apps = appsIn(INTO, annotated({ 'quiesce.dev/restore-name': mark }));
  const snapshots = run.members.flatMap((member) => member.snapshots);
  for (const [index, app] of apps.entries()) {
    const own = snapshots.filter(({ claim }) => app.claims.includes(claim));
    await bringUp(stage, app, own);
    const access = stage.access(INTO);
    // In a namespace of another name, a member of a set is none until it has its new name.
    await app.afterRestore(access);
    for (const pod of app.pods) {
      const init = await initContainer(stage, INTO, pod);
      stage.equal(`${pod}: prepare-restore ran`, init?.state.terminated?.exitCode, 0);
      const { verified, level, id, message } = await stage.sidecar(INTO, pod).restored();
      const seen = [verified, level, id];
      stage.equal(`${pod}: verified against the run (${message})`, seen, [
        true,
        'position',
        run.id,
      ]);
    }
    const receipts = run.members.flatMap((member) =>
      member.receipts.flatMap(({ pod, receipt }) =>
        receipt !== undefined && app.pods.includes(pod) ? [receipt] : [],
      ),
    );
    const ledger = await readLedger(ledgers[index] ?? '');
    const compared = await app.compare(access, ledger, holdOf(receipts));
    judgeWhole(stage, app.engine, compared);
  }
}
