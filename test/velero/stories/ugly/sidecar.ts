import { annotated, inNamespace, readLedger, whileHeld } from '../../apps/index.ts';
import { processOf } from '../../cluster/node.ts';
import {
  judgeComplete,
  judgeInconsistent,
  judgeThawFailed,
  startLateBackup,
} from '../../stage/late.ts';
import { judgeUnproven, judgeWhole, restoreInto } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { type Engine, MONGODB, POSTGRES, REDIS } from './engines.ts';

/** Long enough that the sidecar's end, not the lease's, releases the database. */
const TTL_MS = 60_000;

const story = (engine: Engine): Story => ({
  name: `sidecar-killed-${engine.name}`,
  group: 'ugly',
  title: `${engine.title}: the sidecar is killed while the database is held`,
  inCi: true,
  play: async (stage) => await sidecarKilled(stage, engine),
});

export const killed: readonly Story[] = [POSTGRES, REDIS, MONGODB].map(story);

async function sidecarKilled(stage: Stage, engine: Engine): Promise<void> {
  const [from, into] = [`killed-${engine.name}`, `killed-${engine.name}-restored`];
  const app = engine.make(inNamespace(from), annotated({ 'quiesce.dev/ttl': '60s' }));
  const [pod = ''] = app.pods;
  const name = `killed-${engine.name}-${stage.tag}`;
  await inNamespaces(stage, [from, into], async () => {
    await stage.deploy(app);
    const { ledger, result } = await underLoad(stage, app, name, async () => {
      await startLateBackup(stage, name, app);
      process.kill(await processOf(stage.tools, from, pod, 'quiesce'), 'SIGKILL');
      return await stage.velero.backupEnded(name);
    });
    await judgeThawFailed(stage, result, /interrupted/);
    const hold = await judgeInconsistent(stage, app, 'interrupted');
    const { maxMs } = whileHeld(await readLedger(ledger), hold);
    stage.expect('writers go on before the lease ends', maxMs < TTL_MS / 2, `${maxMs} ms`);
    await judgeComplete(stage, await stage.velero.backup(`${name}-2`, { namespaces: [from] }));
    await restoreInto(stage, { name, backup: name, from, into, pods: app.pods });
    await judgeUnproven(stage, into, pod);
    judgeWhole(stage, 'the copy', await compareIn(stage, app, into, ledger, hold));
  });
}
