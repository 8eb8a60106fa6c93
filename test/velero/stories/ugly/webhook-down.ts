import { inNamespace, postgres } from '../../apps/index.ts';
import { finds } from '../../stage/doctor.ts';
import { judgeComplete } from '../../stage/late.ts';
import { judgeWhole, preparation, restoreInto } from '../../stage/restored.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import { withoutWebhook } from '../../stage/webhook.ts';
import type { Story } from '../story.ts';

const FROM = 'webhook-down';
const INTO = 'webhook-down-restored';
const POD = 'db-0';

export const webhookDown: Story = {
  name: 'webhook-down',
  group: 'ugly',
  title: 'PostgreSQL: the webhook is down at a restore',
  inCi: true,
  play: async (stage) => {
    const app = postgres(inNamespace(FROM));
    await inNamespaces(stage, [FROM, INTO], async () => {
      await stage.deploy(app);
      const name = `webhook-down-${stage.tag}`;
      const { ledger } = await underLoad(stage, app, name, async () => {
        await judgeComplete(stage, await stage.velero.backup(name, { namespaces: [FROM] }));
      });
      const [receipt] = await stage.sidecar(FROM, POD).receipts();
      await withoutWebhook(stage, async () => {
        await finds(stage, 'meanwhile', 'WEBHOOK_DOWN');
        await restoreInto(stage, { name, backup: name, from: FROM, into: INTO, pods: [POD] });
      });
      const prepared = await preparation(stage, INTO, POD);
      stage.equal('nothing prepared the copy', prepared, null);
      const { level, id } = await stage.sidecar(INTO, POD).restored();
      const wanted = { level: 'position', id: receipt?.id };
      stage.equal('the sidecar of the backup verifies it all the same', { level, id }, wanted);
      const hold = { freezeCalledAt: new Date(receipt?.requestedAt ?? '') };
      judgeWhole(stage, 'the copy', await compareIn(stage, app, INTO, ledger, hold));
    });
  },
};
