import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '../../apps/index.ts';
import { judgeProven, quiesce, snapshot } from '../../stage/group-run.ts';
import type { Stage } from '../../stage/stage.ts';
import { inNamespaces } from '../../stage/under-load.ts';
import type { Story } from '../story.ts';
import { appsIn } from './pairs.ts';

const NAMESPACE = 'group-killed';
const KILLS = Number(process.env['QUIESCE_VELERO_KILLS'] ?? 10);
/** The lease of each freeze: after it, nothing may be frozen. */
const TTL_MS = 20_000;

/** SIGKILL of the command at ten moments, spread over a whole run. */
export const killed: Story = {
  name: 'group-killed',
  group: 'group',
  title: `quiesce snapshot is killed at ${KILLS} moments: nothing stays frozen, nothing false is proven`,
  inCi: false,
  play: async (stage) => {
    await inNamespaces(stage, [NAMESPACE], async () => {
      const apps = appsIn(NAMESPACE);
      await Promise.all(apps.map((app) => stage.deploy(app)));
      const from = performance.now();
      judgeProven(stage, 'a run that is left alone', await snapshot(stage, flags()));
      const wholeMs = performance.now() - from;
      for (let kill = 1; kill <= KILLS; kill += 1) {
        await killAfter((wholeMs * kill) / (KILLS + 1), stage);
        await judgeReleased(stage, apps, kill);
        await judgeVerdicts(stage, kill);
      }
      const next = await snapshot(stage, flags());
      judgeProven(stage, 'the next run', next);
      const found = next.run?.problems.map(({ code }) => code) ?? [];
      const text = found.join(' ');
      stage.match('it says what it found', text, /EARLIER_RUN|LEFT|PENDING|DIED/);
      stage.equal('no run is pending any more', await verdictsOf(stage, 'pending'), []);
    });
  },
};

const flags = (): readonly string[] => ['-n', NAMESPACE, '--ttl', `${TTL_MS / 1_000}s`];

async function killAfter(afterMs: number, stage: Stage): Promise<void> {
  const child = spawn(process.execPath, ['dist/cli.js', 'snapshot', ...flags()], {
    env: { ...process.env, ...stage.tools.env },
    stdio: 'ignore',
  });
  await sleep(afterMs);
  if (child.exitCode === null) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}

async function judgeReleased(stage: Stage, apps: readonly App[], kill: number): Promise<void> {
  const held: string[] = [];
  for (const { pods } of apps) {
    for (const pod of pods) {
      await stage
        .sidecar(NAMESPACE, pod)
        .thawed(TTL_MS + 10_000)
        .catch(() => held.push(pod));
    }
  }
  stage.equal(`kill ${kill}: nothing is held after the lease`, held, []);
}

interface Labelled {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly status?: { readonly readyToUse?: boolean };
}

async function snapshotsWith(stage: Stage, verdict: string): Promise<readonly Labelled[]> {
  const where = ['-n', NAMESPACE, '-l', `quiesce.dev/verdict=${verdict}`];
  const { items } = await stage.tools.get<{ items: readonly Labelled[] }>(
    'volumesnapshot',
    ...where,
  );
  return items;
}

async function verdictsOf(stage: Stage, verdict: string): Promise<readonly string[]> {
  return (await snapshotsWith(stage, verdict)).map(({ metadata }) => metadata.name);
}

/** What is called proven is a whole run: its report says so, too, and each volume has a ready snapshot. */
async function judgeVerdicts(stage: Stage, kill: number): Promise<void> {
  const proven = await snapshotsWith(stage, 'proven');
  const runs = new Map<string, Labelled[]>();
  for (const one of proven) {
    const id = one.metadata.labels?.['quiesce.dev/run'] ?? '';
    runs.set(id, [...(runs.get(id) ?? []), one]);
  }
  const wrong: string[] = [];
  for (const [id, snapshots] of runs) {
    const { stdout } = await quiesce(stage, ['snapshots', id, '-n', NAMESPACE, '-o', 'json']);
    const run = JSON.parse(stdout) as { verdict?: string };
    const ready = snapshots.length === 2 && snapshots.every((one) => one.status?.readyToUse);
    if (run.verdict !== 'proven' || !ready) wrong.push(`${id}: ${run.verdict}, ${ready}`);
  }
  stage.equal(`kill ${kill}: what is called proven is whole`, wrong, []);
}
