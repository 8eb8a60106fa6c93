import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { verifyInserts } from '../../../support/mongo-load.ts';
import { type App, ackedBefore, holdOf, readLedger } from '../../apps/index.ts';
import { drill, type DrillSeen, inventoryOf, judgeSame, saidBy } from '../../stage/drill-run.ts';
import { judgeProven, quiesce, type RunSeen, snapshot } from '../../stage/group-run.ts';
import { judgeWhole } from '../../stage/restored.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { underLoads } from '../group/whole.ts';
import type { Story } from '../story.ts';
import { patient, threeIn } from './apps.ts';

const NAMESPACE = 'drilled';

/** PostgreSQL, Redis and MongoDB: what the drill calls proven has every acknowledged write. */
export const engines: Story = {
  name: 'drill-engines',
  group: 'drill',
  title: 'quiesce drill: the newest snapshot of three databases, proven by position, and removed',
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const apps = threeIn(NAMESPACE);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      const ledgers: string[] = [];
      const run = await underLoads(stage, apps, ledgers, async () =>
        judgeProven(stage, 'the snapshot', await snapshot(stage, patient(NAMESPACE))),
      );
      const before = await inventoryOf(stage);
      await judgeDrill(stage, run);
      await judgeDeep(stage);
      judgeSame(stage, 'the drill', before, await inventoryOf(stage));
      await judgeData(stage, apps, run, ledgers);
      judgeSame(stage, 'a kept drill, swept', before, await inventoryOf(stage));
    });
  },
};

async function judgeDrill(stage: Stage, { id }: RunSeen): Promise<void> {
  const done = await drill(stage, ['-n', NAMESPACE]);
  const { run } = done;
  stage.expect(
    'the drill is proven',
    done.ran.status === 0 && run?.verdict === 'proven',
    saidBy(done),
  );
  stage.equal('it took the newest proven run', run?.source.name, id);
  const levels = run?.members.map(({ name, level }) => `${name} ${level}`).toSorted();
  stage.equal('each database is proven', levels, [
    'db position',
    'mongo position',
    'redis position',
  ]);
  stage.equal('everything is removed', run?.removed, true);
  const measured = [run?.rtoSeconds, run?.rpoSeconds].every((one) => one !== undefined && one > 0);
  stage.expect('how long it took and how old the data is are measured', measured, run);
  stage.measure('drill of three databases', Math.round((run?.rtoSeconds ?? 0) * 1_000));
  await judgeRecord(stage, run);
}

/** These databases lack what their deep checks need: a drill that asked for them is not proven. */
async function judgeDeep(stage: Stage): Promise<void> {
  const done = await drill(stage, ['-n', NAMESPACE, '--check', 'content']);
  const { run } = done;
  const seen = [done.ran.status, run?.verdict];
  stage.expect(
    'a deep check that cannot look is no proof',
    seen.join() === '7,unproven',
    saidBy(done),
  );
  const why = run?.members.flatMap((one) => one.problems.map(({ message }) => message)).join(' ');
  stage.match(
    'each says what it lacks',
    why ?? '',
    /amcheck[\s\S]*not authorized[\s\S]*REDIS_SAMPLE_KEYS/,
  );
}

async function judgeRecord(stage: Stage, run: DrillSeen | undefined): Promise<void> {
  const shown = await quiesce(stage, ['drill', '--show', run?.id ?? '', '-n', NAMESPACE]);
  stage.match('the record says it, too', shown.stdout, /proven[\s\S]*drill of data/);
  const page = await quiesce(stage, [
    'drill',
    '--show',
    run?.id ?? '',
    '-n',
    NAMESPACE,
    '-o',
    'html',
  ]);
  stage.match('and makes a page', page.stdout, /^<!doctype html>[\s\S]*<\/html>\s*$/i);
}

/** The copies are kept, and asked as the application would ask them. */
async function judgeData(
  stage: Stage,
  apps: readonly App[],
  run: RunSeen,
  ledgers: readonly string[],
): Promise<void> {
  // It expires just after its own end.
  const flags = ['--keep-scratch', '--timeout', '4m', '--expires', '241s'];
  const begun = performance.now();
  const done = await drill(stage, ['-n', NAMESPACE, '--from-snapshot', run.id, ...flags]);
  const [scratch = ''] = done.run?.scratch ?? [];
  stage.expect(
    'a drill can be kept',
    done.run?.verdict === 'proven' && scratch !== '',
    saidBy(done),
  );
  const early = await quiesce(stage, ['drill', '--sweep', '-o', 'json']);
  const namespace = await stage.tools.tryKubectl(['get', 'namespace', scratch]);
  stage.equal('a sweep leaves it before its time', [early.status, namespace.status], [0, 0]);
  // The network of the copy stays closed until here.
  await stage.tools.kubectl(['delete', 'networkpolicies', '--all', '-n', scratch]);
  for (const [index, app] of apps.entries()) {
    await judgeApp(stage, app, { scratch, run, ledger: ledgers[index] ?? '' });
  }
  await sleep(Math.max(0, 300_000 - (performance.now() - begun)));
  const swept = await quiesce(stage, ['drill', '--sweep', '-o', 'json']);
  stage.match('a sweep removes it after its time', swept.stdout, new RegExp(done.run?.id ?? '-'));
}

async function judgeApp(
  stage: Stage,
  app: App,
  { scratch, run, ledger: path }: { scratch: string; run: RunSeen; ledger: string },
): Promise<void> {
  const receipts = run.members.flatMap((member) =>
    member.receipts.flatMap(({ pod, receipt }) =>
      receipt !== undefined && app.pods.includes(pod) ? [receipt] : [],
    ),
  );
  const ledger = await readLedger(path);
  const hold = holdOf(receipts);
  const access = stage.access(scratch);
  if (app.engine !== 'mongodb') {
    judgeWhole(stage, `${app.engine}, in the copy`, await app.compare(access, ledger, hold));
    return;
  }
  // By the names in its configuration a client would find production's members.
  const forwarded = await access.forward('mongo-0', 27_017);
  const address = `mongodb://app:change-me@127.0.0.1:${forwarded.port}/?directConnection=true`;
  const client = new MongoClient(address, { authSource: 'admin', readPreference: 'nearest' });
  try {
    const acked = ackedBefore(ledger, hold.freezeCalledAt);
    const report = await verifyInserts(client, acked);
    const count = acked.reduce((all, one) => all + one, 0);
    stage.expect(
      `mongodb, in the copy: none of ${count} acknowledged writes is missing`,
      report.ok && count > 0,
      report.checks,
    );
  } finally {
    await client.close();
    await forwarded.close();
  }
}
