import { setTimeout as sleep } from 'node:timers/promises';
import { listProcesses } from '../../src/testbed/os.ts';
import type { PlannedFault } from './plan.ts';
import type { Shim } from './shim.ts';
import type { Rig } from './rig.ts';

export interface Injected {
  readonly kind: string;
  readonly step: string;
  /** When it struck; `missed`: its step was never reached, or there was nothing to hit. */
  readonly at: number | 'missed';
  /** When it was over. For faults of the engine: the latest moment at which it can have struck. */
  readonly overAt?: number;
}

/** How long a process may take to start on a busy machine. */
const STARTS_WITHIN_MS = 6_000;
const NEED_MOUNTS = ['state-full', 'volume-full', 'evidence-refused'];
const WALL_JUMPS_S = [-86_400, -90, 45, 7_200, 400 * 86_400];

/**
 * Carries out one fault; a kill happens before this returns. Resolves when the fault is over; `false`:
 * there was nothing to hit.
 */
export async function inject(
  rig: Rig,
  { kind, lastsMs }: PlannedFault,
  shim: Shim | undefined,
): Promise<boolean> {
  const { sidecar, link, database, disks } = rig;
  if (NEED_MOUNTS.includes(kind) && !rig.mounts) return false;
  switch (kind) {
    case 'kill-sidecar':
    case 'term-sidecar':
      if (sidecar.pid === undefined) return false;
      sidecar.backoffMs = lastsMs / 4;
      sidecar.signal(kind === 'kill-sidecar' ? 'SIGKILL' : 'SIGTERM');
      return true;
    case 'kill-shim':
      if (!shim || shim.child.exitCode !== null) return false;
      shim.signal('SIGKILL');
      return true;
    case 'kill-server':
    case 'stop-server':
      return await downAndUp(rig, kind === 'kill-server', lastsMs);
    case 'pause-sidecar':
      return await pause([sidecar.pid], lastsMs);
    case 'pause-shim':
      if (!shim || shim.child.exitCode !== null) return false;
      return await pause([shim.child.pid], lastsMs);
    case 'pause-server':
      return await pauseServer(rig, lastsMs);
    case 'net-silent':
    case 'net-reset':
      link.cut(kind === 'net-silent' ? 'silent' : 'reset');
      await sleep(lastsMs);
      link.repair();
      return true;
    case 'evidence-removed':
      return await disks.removeEvidence();
    case 'second-sidecar':
      return await startSecondSidecar(rig, lastsMs);
    case 'clock-jump':
      if (!rig.clock.works) return false;
      rig.clock.jump(WALL_JUMPS_S[Math.floor(lastsMs) % WALL_JUMPS_S.length] ?? 0);
      return true;
    case 'state-full':
      await disks.fillState();
      await sleep(lastsMs);
      await disks.emptyState();
      return true;
    case 'volume-full':
      await disks.fillVolume();
      await sleep(lastsMs);
      await disks.emptyVolume();
      return true;
    case 'evidence-refused': {
      const refused = await disks.refuseEvidence();
      if (refused) await sleep(lastsMs);
      await disks.allowEvidence();
      return refused;
    }
    default:
      return await database.inject(kind, lastsMs, link.session);
  }
}

/**
 * Starts another sidecar on the volume, as a rollout does. While the first one lives, the second one must
 * not be ready and must not freeze.
 */
async function startSecondSidecar(rig: Rig, lastsMs: number): Promise<boolean> {
  const { sidecar, log } = rig;
  const { pid } = sidecar;
  const second = await rig.anotherSidecar();
  await second.start();
  try {
    const deadline = performance.now() + STARTS_WITHIN_MS;
    while ((await second.readiness()) === undefined && performance.now() < deadline) {
      await sleep(25);
    }
    const ready = await second.readiness();
    const frozen = await second.api('POST', '/v1/freeze', { ttl: '1s' }).catch(() => undefined);
    const { code } = (frozen?.body['error'] ?? {}) as { code?: string };
    const said = `readiness ${ready?.status} ${ready?.body}, freeze ${frozen?.status} ${code ?? ''}`;
    log.note(`the second sidecar: ${said}`);
    const ours = pid !== undefined && sidecar.pid === pid && !rig.disks.evidenceLost;
    const idle = frozen === undefined || code === 'VOLUME_IN_USE';
    if (ours && (ready?.status === 200 || !idle)) {
      rig.troubles.push(`while the first sidecar was alive, the second one: ${said}`);
    }
    await second.api('POST', '/v1/thaw', { abandon: true }).catch(() => undefined);
    await sleep(lastsMs / 4);
    return true;
  } finally {
    await second.close();
    log.note(`the second sidecar's log: ${second.log.join(' | ').slice(0, 4_000)}`);
  }
}

export function send(pid: number | undefined, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

async function downAndUp(rig: Rig, hard: boolean, downMs: number): Promise<boolean> {
  const { pid } = rig.database;
  if (!send(pid, hard ? 'SIGKILL' : 'SIGQUIT')) return false;
  while (send(pid, 0 as never)) await sleep(10);
  await sleep(downMs);
  await rig.database.serve();
  return true;
}

/** Stops processes for a while; `false`: the first of them does not exist. */
export async function pause(
  pids: readonly (number | undefined)[],
  lastsMs: number,
): Promise<boolean> {
  if (!send(pids[0], 'SIGSTOP')) return false;
  for (const pid of pids.slice(1)) send(pid, 'SIGSTOP');
  await sleep(lastsMs);
  for (const pid of pids) send(pid, 'SIGCONT');
  return true;
}

/** Stops all processes of the server, the parent first so that it starts no new ones. */
async function pauseServer(rig: Rig, lastsMs: number): Promise<boolean> {
  const { pid } = rig.database;
  if (!send(pid, 'SIGSTOP')) return false;
  const children = (await listProcesses()).filter(({ parent }) => parent === pid);
  return await pause([pid, ...children.map((child) => child.pid)], lastsMs);
}
