import { type App, inNamespace, postgres } from '../apps/index.ts';
import { judgeComplete } from '../stage/late.ts';
import { preparation, restoreInto } from '../stage/restored.ts';
import type { Stage } from '../stage/stage.ts';
import { inNamespaces, underLoad } from '../stage/under-load.ts';
import type { Story } from './story.ts';

const FROM = 'mark';
const POD = 'db-0';
const [MONDAY, TUESDAY, WEDNESDAY] = ['mark-monday', 'mark-tuesday', 'mark-wednesday'];

export const restoreMark: Story = {
  name: 'restore-mark',
  group: 'restores',
  title: 'A restored pod names its restore; a second restore of the backup is a copy again',
  inCi: false,
  play: async (stage) => {
    const app = postgres(inNamespace(FROM));
    await inNamespaces(stage, [FROM, MONDAY, TUESDAY, WEDNESDAY], async () => {
      await stage.deploy(app);
      const backup = await backUp(stage, app);
      await isCopy(stage, { backup, from: FROM, into: MONDAY });
      await isCopy(stage, { backup, from: FROM, into: TUESDAY });
      const again = await backUp(stage, postgres(inNamespace(MONDAY)));
      const [receipt] = await stage.sidecar(MONDAY, POD).receipts();
      stage.equal('its receipt names the restore', receipt?.restoreMark, nameOf(stage, MONDAY));
      await isCopy(stage, { backup: again, from: MONDAY, into: WEDNESDAY });
      await madeAgain(stage);
    });
  },
};

const nameOf = ({ tag }: Stage, namespace: string): string => `${namespace}-${tag}`;

async function backUp(stage: Stage, app: App): Promise<string> {
  const { namespace } = app;
  const name = `${namespace}-backup-${stage.tag}`;
  await underLoad(stage, app, name, async () => {
    await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [namespace] }));
  });
  return name;
}

/** Prepared before its first start, verified after it, and named by Velero's name of the restore. */
async function isCopy(
  stage: Stage,
  { backup, from, into }: Readonly<Record<'backup' | 'from' | 'into', string>>,
): Promise<void> {
  const name = nameOf(stage, into);
  await restoreInto(stage, { name, backup, from, into, pods: [POD] });
  const prepared = await preparation(stage, into, POD);
  stage.match(`${into}: it is prepared as a copy`, prepared?.said ?? '', /^prepared:/m);
  const sidecar = stage.sidecar(into, POD);
  const { mark, level } = await sidecar.restored();
  const wanted = { mark: name, level: 'position' };
  stage.equal(`${into}: its sidecar knows the restore`, { mark, level }, wanted);
  const { stdout } = await sidecar.quiesce('status');
  stage.match(`${into}: quiesce status names it`, stdout, new RegExp(`restored by ${name} from`));
}

/** The next pod of the StatefulSet lacks Velero's label: it is an ordinary one, and its volume a live one. */
async function madeAgain(stage: Stage): Promise<void> {
  await stage.tools.kubectl(['-n', TUESDAY, 'delete', 'pod', POD, '--wait=true']);
  await stage.ready(TUESDAY, [POD]);
  const prepared = await preparation(stage, TUESDAY, POD);
  stage.equal('the next pod has no init container', prepared, null);
  const { restore } = await stage.sidecar(TUESDAY, POD).status();
  stage.equal('and reports no restore', restore, null);
}
