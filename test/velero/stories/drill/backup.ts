import { inNamespace, postgres } from '../../apps/index.ts';
import { drill, inventoryOf, judgeSame, saidBy } from '../../stage/drill-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const NAMESPACE = 'drilled-backup';

/** A backup of Velero, whose namespace may be gone: pods, ConfigMaps and Secrets come from the backup itself. */
export const backup: Story = {
  name: 'drill-backup',
  group: 'drill',
  title: 'quiesce drill --from-backup: a backup of Velero, of an application that is gone',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE, 'reports'], async () => {
      const app = postgres(inNamespace(NAMESPACE));
      await stage.deploy(app);
      const name = `drilled-${stage.tag}`;
      await underLoad(stage, app, 'drill-backup', async () => {
        const { phase } = await stage.velero.backup(name, { namespaces: [NAMESPACE] });
        stage.equal('Velero’s backup completes', phase, 'Completed');
      });
      const before = await inventoryOf(stage);
      await judge(stage, 'while it runs', ['-n', NAMESPACE, '--from-backup', name]);
      await judge(stage, 'as the newest', ['-n', NAMESPACE]);
      judgeSame(stage, 'both drills', before, await inventoryOf(stage));
      await stage.remove(NAMESPACE);
      await stage.tools.kubectl(['create', 'namespace', 'reports']);
      const gone = await inventoryOf(stage);
      await judge(stage, 'after it is gone', [
        '--from-backup',
        name,
        '--report-namespace',
        'reports',
      ]);
      judgeSame(stage, 'the drill of what is gone', gone, await inventoryOf(stage));
    });
  },
};

async function judge(stage: Stage, what: string, args: readonly string[]): Promise<void> {
  const done = await drill(stage, args);
  const { run } = done;
  const levels = run?.members.map(({ level }) => level).join();
  stage.expect(
    `${what}: proven by position`,
    run?.verdict === 'proven' && levels === 'position',
    saidBy(done),
  );
}
