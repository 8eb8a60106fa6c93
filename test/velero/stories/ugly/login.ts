import { inNamespace, postgres, wrongPassword } from '../../apps/index.ts';
import { finds } from '../../stage/doctor.ts';
import { restoreInto } from '../../stage/restored.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';

const FROM = 'wrong-login';
const INTO = 'wrong-login-restored';
const POD = 'db-0';

export const wrongLogin: Story = {
  name: 'wrong-password',
  group: 'ugly',
  title: 'PostgreSQL: the database refuses the sidecar’s password',
  inCi: true,
  play: async (stage) => {
    const app = postgres(inNamespace(FROM), wrongPassword);
    await inNamespaces(stage, [FROM, INTO], async () => {
      await stage.deploy(app);
      const name = `wrong-password-${stage.tag}`;
      const ended = await stage.velero.backup(name, { namespaces: [FROM] });
      stage.equal('the backup is not called complete', ended.phase, 'PartiallyFailed');
      stage.equal('both hooks failed', ended.hooks, { attempted: 2, failed: 2 });
      const log = (await stage.velero.hookLog(name)).join('\n');
      stage.match('the backup’s log says why', log, /ENGINE_AUTH/);
      stage.expect('no password is in it', !/least-privileged|change-me/.test(log), log);
      await finds(stage, 'meanwhile', 'DATABASE_UNREACHABLE', '-n', FROM, '--probe');
      await restoreInto(stage, { name, backup: name, from: FROM, into: INTO, pods: [POD] });
      const { level, reason } = await stage.sidecar(INTO, POD).restored();
      const wanted = { level: 'unproven', reason: 'no-receipt' };
      stage.equal('its copy is called unproven', { level, reason }, wanted);
    });
  },
};
