import { annotated, inNamespace, readLedger, whileHeld } from '../../apps/index.ts';
import { finds } from '../../stage/doctor.ts';
import { judgeInconsistent, judgeThawFailed, lateBackup } from '../../stage/late.ts';
import { judgeUnproven, judgeWhole, restoreInto } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { compareIn, inNamespaces, underLoad } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { type Engine, MONGODB, POSTGRES, REDIS } from './engines.ts';

const TTL_MS = 8_000;
/** What a writer may wait longer than the lease, on a busy machine. */
const SLACK_MS = 10_000;

const story = (engine: Engine): Story => ({
  name: `lease-over-${engine.name}`,
  group: 'ugly',
  title: `${engine.title}: the lease ends before the volume is cut`,
  inCi: true,
  play: async (stage) => await leaseOver(stage, engine),
});

export const lease: readonly Story[] = [POSTGRES, REDIS, MONGODB].map(story);

async function leaseOver(stage: Stage, engine: Engine): Promise<void> {
  const [from, into] = [`lease-${engine.name}`, `lease-${engine.name}-restored`];
  const ttl = annotated({ 'quiesce.dev/ttl': `${TTL_MS / 1_000}s` });
  const app = engine.make(inNamespace(from), ttl);
  const [pod = ''] = app.pods;
  const name = `lease-${engine.name}-${stage.tag}`;
  await inNamespaces(stage, [from, into], async () => {
    await stage.deploy(app);
    const { ledger, result } = await underLoad(stage, app, name, async () => {
      return await lateBackup(stage, name, app);
    });
    await judgeThawFailed(stage, result, /lease-expired/);
    const hold = await judgeInconsistent(stage, app, 'lease-expired');
    const { maxMs } = whileHeld(await readLedger(ledger), hold);
    const limit = TTL_MS + SLACK_MS;
    stage.expect('no writer waited longer than the lease', maxMs < limit, `${maxMs} ms`);
    await finds(stage, 'after it', 'LAST_FREEZE_INCONSISTENT', '-n', from, '--probe');
    await restoreInto(stage, { name, backup: name, from, into, pods: app.pods });
    await judgeUnproven(stage, into, pod);
    judgeWhole(stage, 'the copy', await compareIn(stage, app, into, ledger, hold));
    if (engine === POSTGRES) await accept(stage, into, pod);
  });
}

/** The doctor reports the restored pod until a person accepts it as it is. */
async function accept(stage: Stage, namespace: string, pod: string): Promise<void> {
  await finds(stage, 'without an answer', 'RESTORE_NOT_ASKED', '-n', namespace);
  await finds(stage, 'with one', 'RESTORE_UNPROVEN', '-n', namespace, '--probe');
  const { status } = await stage.sidecar(namespace, pod).quiesce('status', '--acknowledge-restore');
  stage.equal('a person can accept the data as it is', status, 0);
  const { restore } = await stage.sidecar(namespace, pod).status();
  stage.equal('then it is no longer reported', restore, null);
}
