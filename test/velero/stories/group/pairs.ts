import { annotated, type App, type Edit, inNamespace, postgres, redis } from '../../apps/index.ts';
import { type PairsAddress, type PairsSeen, PairWriters, violations } from '../../apps/pairs.ts';
import { bringUp } from '../../stage/from-snapshots.ts';
import { freezeCalledAt, judgeProven, type RunSeen, snapshot } from '../../stage/group-run.ts';
import type { SnapshotSeen } from '../../stage/group-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import { until } from '../../wait.ts';

/** How many groups of each kind are restored. */
export const GROUPS = Number(process.env['QUIESCE_VELERO_GROUPS'] ?? 5);
/** Both manifests have the same one. */
const PASSWORD = 'change-me';
const APPS = [postgres, redis] as const;

export interface PairsStory {
  readonly namespace: string;
  readonly flags: readonly string[];
  readonly together: 'exact' | 'complete-to';
}

/**
 * Writers write each number into PostgreSQL and Redis, half of them in the one order and half in the other.
 * Groups are snapshotted meanwhile, and each is restored and read.
 */
export async function playPairs(stage: Stage, story: PairsStory): Promise<void> {
  const { namespace, flags, together } = story;
  await inNamespaces(stage, [namespace], async () => {
    await Promise.all(appsIn(namespace).map((app) => stage.deploy(app)));
    const pairs = new PairWriters();
    await pairs.start(await addressOf(stage, namespace));
    const runs: RunSeen[] = [];
    try {
      await until('pairs are written', 60_000, () => Promise.resolve(pairs.total > 100));
      for (let round = 1; round <= GROUPS; round += 1) {
        const seen = await snapshot(stage, ['-n', namespace, ...flags]);
        const run = judgeProven(stage, `group ${round}`, seen);
        stage.equal(`group ${round}: how its members stand`, run.together?.kind, together);
        stage.measure(`group ${round}: freeze spread`, run.freezeSpreadMs);
        runs.push(run);
      }
    } finally {
      await pairs.stop();
    }
    for (const [index, run] of runs.entries()) {
      const snapshots = run.members.flatMap((member) => member.snapshots);
      const seen = await restored(stage, `${namespace}-${index + 1}`, snapshots, (address) =>
        pairs.read(address, freezeCalledAt(run)),
      );
      judgePairs(stage, `group ${index + 1}`, seen, together);
    }
  });
}

/** Without a freeze, and one after the other: the same comparison finds the pairs torn. */
export async function playUnfrozen(stage: Stage, namespace: string): Promise<void> {
  await inNamespaces(stage, [namespace], async () => {
    const apps = appsIn(namespace);
    await Promise.all(apps.map((app) => stage.deploy(app)));
    const pairs = new PairWriters();
    await pairs.start(await addressOf(stage, namespace));
    const snapshots: SnapshotSeen[] = [];
    try {
      await until('pairs are written', 60_000, () => Promise.resolve(pairs.total > 100));
      for (const { claims } of apps) {
        const [claim = ''] = claims;
        await plainSnapshot(stage, namespace, claim);
        snapshots.push({ namespace, name: claim, claim, ready: true });
      }
    } finally {
      await pairs.stop();
    }
    const seen = await restored(stage, `${namespace}-1`, snapshots, (address) =>
      pairs.read(address, new Date(0)),
    ).catch(refusedByServer);
    if (typeof seen === 'string') {
      stage.expect(`the copy is no database that lets its clients in: ${seen}`, true);
      return;
    }
    const torn = violations(seen).length > 0 || apart(seen) > 1;
    stage.expect('the pairs are torn', torn, { apart: apart(seen) });
  });
}

/** What PostgreSQL itself said, by its SQLSTATE; any other error is not of the copy. */
function refusedByServer(error: Error & { readonly code?: unknown }): string {
  if (typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code)) return error.message;
  throw error;
}

function judgePairs(
  stage: Stage,
  what: string,
  seen: readonly PairsSeen[],
  together: PairsStory['together'],
): void {
  const acknowledged = seen.map((one) => one.acknowledged);
  const wrote = acknowledged.every((count) => count > 0);
  stage.expect(`${what}: all writers wrote before the freeze`, wrote, acknowledged);
  if (together === 'exact') {
    stage.equal(`${what}: of no pair the second write is there alone`, violations(seen), []);
    // The write that waits while its database is held was made in the other one only.
    stage.expect(`${what}: both have the same pairs, but for one under way`, apart(seen) <= 1, {
      apart: apart(seen),
    });
    return;
  }
  const missing = seen.filter(({ acknowledged: count, postgres: first, redis: second }) => {
    return first.length < count || second.length < count;
  });
  stage.equal(`${what}: everything acknowledged before it is in both`, missing, []);
}

/** The most pairs of one writer that one database has and the other one has not. */
function apart(seen: readonly PairsSeen[]): number {
  return Math.max(
    ...seen.map(({ postgres: first, redis: second }) => Math.abs(first.length - second.length)),
  );
}

/** Brings a group up in a namespace of its own, reads it, and removes it. */
async function restored(
  stage: Stage,
  into: string,
  snapshots: readonly SnapshotSeen[],
  read: (address: PairsAddress) => Promise<readonly PairsSeen[]>,
): Promise<readonly PairsSeen[]> {
  return await inNamespaces(stage, [into], async () => {
    const mark = annotated({ 'quiesce.dev/restore-name': `${into}-${stage.tag}` });
    for (const app of appsIn(into, mark)) {
      const own = snapshots.filter(({ claim }) => app.claims.includes(claim));
      await bringUp(stage, app, own);
    }
    return await read(await addressOf(stage, into));
  });
}

async function plainSnapshot(stage: Stage, namespace: string, claim: string): Promise<void> {
  const name = ['volumesnapshot', claim, '-n', namespace];
  await stage.tools.apply(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: { name: ${claim}, namespace: ${namespace} }
spec:
  volumeSnapshotClassName: block
  source: { persistentVolumeClaimName: ${claim} }
`);
  const ready = '--for=jsonpath={.status.readyToUse}=true';
  await stage.tools.kubectl(['wait', ...name, ready, '--timeout=60s']);
}

export function appsIn(namespace: string, ...edits: readonly Edit[]): readonly App[] {
  return APPS.map((make) => make(inNamespace(namespace), ...edits));
}

async function addressOf(stage: Stage, namespace: string): Promise<PairsAddress> {
  const access = stage.access(namespace);
  const [first, second] = await Promise.all(['db-0', 'redis-0'].map((pod) => access.reach(pod)));
  return {
    postgres: { host: first ?? '', password: PASSWORD },
    redis: { host: second ?? '', password: PASSWORD },
  };
}
