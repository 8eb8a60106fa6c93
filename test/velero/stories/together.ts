import { type App, holdOf, inNamespace, postgres, readLedger, redis } from '../apps/index.ts';
import { type PairsAddress, PairWriters, violations } from '../apps/pairs.ts';
import { newestCut } from '../stage/cuts.ts';
import type { ReceiptSeen } from '../stage/sidecar.ts';
import type { Stage } from '../stage/stage.ts';
import { PATIENT_MS, receiptOf } from '../stage/steps.ts';
import { inNamespaces, underLoad } from '../stage/under-load.ts';
import { judgeRestored } from './backup-restore.ts';
import { until } from '../wait.ts';
import type { Story } from './story.ts';

const NAMESPACE = 'together';
/** Both manifests have the same one. */
const PASSWORD = 'change-me';

export const together: readonly Story[] = [
  {
    name: 'frozen-together',
    group: 'together',
    title:
      'PostgreSQL and Redis in one block of orderedResources: held for both cuts, no order violated',
    inCi: false,
    play: async (stage) => await inNamespaces(stage, [NAMESPACE], () => frozenTogether(stage)),
  },
];

export interface Member {
  readonly app: App;
  readonly pod: string;
  readonly claim: string;
}

export function membersOf(apps: readonly App[]): readonly Member[] {
  return apps.map((app) => ({ app, pod: app.pods[0] ?? '', claim: app.claims[0] ?? '' }));
}

async function frozenTogether(stage: Stage): Promise<void> {
  const apps = [postgres(inNamespace(NAMESPACE)), redis(inNamespace(NAMESPACE))];
  const members = membersOf(apps);
  for (const { app } of members) await stage.deploy(app);
  const pairs = new PairWriters();
  const ledgers = await writeAndBackUp(stage, members, pairs);
  const receipts = await judgeHolds(stage, members);
  await stage.remove(NAMESPACE);
  const name = nameOf(stage);
  const restored = await stage.velero.restore(name, name);
  stage.equal('the restore completes', [restored.phase, restored.errors], ['Completed', 0]);
  for (const [index, { app, pod }] of members.entries()) {
    await stage.ready(NAMESPACE, [pod]);
    await judgeRestored(stage, NAMESPACE, pod, name);
    const ledger = await readLedger(ledgers[index] ?? '');
    const hold = holdOf(receipts.slice(index, index + 1));
    const compared = await app.compare(stage.access(NAMESPACE), ledger, hold);
    const what = `${pod}: nothing of ${compared.acknowledgedBeforeFreeze} acknowledged writes is missing`;
    stage.expect(what, compared.ok, compared.problems);
  }
  const { freezeCalledAt } = holdOf(receipts);
  const seen = await pairs.read(await addressOf(stage, members), freezeCalledAt);
  stage.expect(
    'writers to both wrote before the freeze',
    seen.every(({ acknowledged }) => acknowledged > 0),
    seen.map(({ acknowledged }) => acknowledged),
  );
  stage.equal('of no pair the second write is there without the first', violations(seen), []);
}

const nameOf = (stage: Stage): string => `together-${stage.tag}`;

/** @returns the paths of the members' ledgers */
async function writeAndBackUp(
  stage: Stage,
  [first, second]: readonly Member[],
  pairs: PairWriters,
): Promise<readonly string[]> {
  if (first === undefined || second === undefined) throw new Error('two members are frozen');
  const act = async (): Promise<void> => {
    await pairs.start(await addressOf(stage, [first, second]));
    try {
      await until('pairs are written', 60_000, () => Promise.resolve(pairs.total > 100));
      await backUp(stage, [first, second]);
    } finally {
      await pairs.stop();
    }
  };
  const beside = async (): Promise<string> =>
    (await underLoad(stage, second.app, 'together-redis', act, PATIENT_MS)).ledger;
  const outer = await underLoad(stage, first.app, 'together-postgres', beside, PATIENT_MS);
  return [outer.ledger, outer.result];
}

async function backUp(stage: Stage, members: readonly Member[]): Promise<void> {
  const pods = members.map(({ pod }) => `${NAMESPACE}/${pod}`).join(',');
  const flags = ['--ordered-resources', `pods=${pods}`];
  const ended = await stage.velero.backup(nameOf(stage), { namespaces: [NAMESPACE], flags });
  stage.equal('the backup completes', [ended.phase, ended.errors], ['Completed', 0]);
  stage.equal('its hooks', ended.hooks, { attempted: 4, failed: 0 });
  stage.measure('backup', ended.tookMs);
}

type Held = ReceiptSeen & { readonly thawedAt: string | null };

/** Both volumes were cut while both databases were held. */
export async function judgeHolds(
  stage: Stage,
  members: readonly Member[],
): Promise<readonly Held[]> {
  const receipts: Held[] = [];
  for (const { app, pod } of members) {
    const receipt = await receiptOf(stage, app.namespace, pod);
    stage.equal(`${pod}: the freeze is consistent`, receipt.verdict, 'consistent');
    receipts.push(receipt);
  }
  const frozen = Math.max(...receipts.map(({ frozenAt }) => Date.parse(frozenAt ?? '')));
  const thawed = Math.min(...receipts.map(({ thawedAt }) => Date.parse(thawedAt ?? '')));
  for (const { app, claim } of members) {
    const { from, to } = await newestCut(stage.tools, app.namespace, claim);
    stage.expect(
      `${claim} is cut while both are held`,
      from.getTime() >= frozen && to.getTime() <= thawed,
      { frozen: new Date(frozen), from, to, thawed: new Date(thawed) },
    );
  }
  stage.measure('both held', thawed - frozen);
  return receipts;
}

async function addressOf(stage: Stage, [first, second]: readonly Member[]): Promise<PairsAddress> {
  const { reach } = stage.access(NAMESPACE);
  return {
    postgres: { host: await reach(first?.pod ?? ''), password: PASSWORD },
    redis: { host: await reach(second?.pod ?? ''), password: PASSWORD },
  };
}
