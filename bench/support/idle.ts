import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type SidecarProcess, startSidecarIn } from '../../src/testbed/processes.ts';
import { RedisServer } from '../../src/testbed/redis/server.ts';
import { startSidecar } from '../../src/demo/source.ts';
import type { Workspace } from '../../src/testbed/workspace.ts';
import { mongoEnv, startStandalone } from '../../test/support/mongod.ts';
import type { Rig } from './rig.ts';
import { type Arguments, progress } from './program.ts';
import { figure } from './report.ts';
import { resident, startEmpty } from './resident.ts';
import { median } from './stats.ts';

/** Resident memory in MB, medians: of idle sidecars by engine, and of an empty HTTP server. */
export interface Idle {
  readonly engines: ReadonlyMap<string, number>;
  readonly empty: number;
}

type Start = (name: string) => Promise<SidecarProcess>;

/** Starts a real server of each engine. @returns for each engine, how to start a sidecar for it. */
async function sidecarStarts(rig: Rig, workspace: Workspace): Promise<ReadonlyMap<string, Start>> {
  const volumes = { redis: join(workspace.dir, 'redis'), mongodb: join(workspace.dir, 'mongodb') };
  const dir = join(volumes.redis, 'data');
  const redis = await RedisServer.start({ binary: 'redis-server', dir });
  await workspace.defer(() => redis.kill());
  const mongod = await startStandalone(join(volumes.mongodb, 'db'));
  await workspace.defer(() => mongod.stop());
  await workspace.record(mongod.pid);
  const other =
    (engine: keyof typeof volumes, connection: Readonly<Record<string, string>>): Start =>
    (name) =>
      startSidecarIn(workspace, name, {
        engine,
        dataDir: volumes[engine],
        app: 'bench',
        connection,
      });
  return new Map([
    ['postgres', (name) => startSidecar(workspace, name, rig.target, rig.volume, rig.role)],
    ['redis', other('redis', { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(redis.port) })],
    ['mongodb', other('mongodb', mongoEnv(mongod))],
  ]);
}

/** Starts all processes, lets them idle at the same time, reads their memory; then starts them again. */
export async function measureIdle(rig: Rig, workspace: Workspace, args: Arguments): Promise<Idle> {
  const starts = await sidecarStarts(rig, workspace);
  const found = new Map<string, number[]>([...starts.keys(), 'empty'].map((name) => [name, []]));
  for (let round = 0; round < args.number('starts'); round += 1) {
    const running: { name: string; pid: number | undefined; stop: () => unknown }[] = [];
    for (const [name, start] of starts) {
      const sidecar = await start(`${name[0]}${round}`);
      await sidecar.ready();
      running.push({ name, pid: sidecar.pid, stop: () => sidecar.stop() });
    }
    running.push({ name: 'empty', ...(await startEmpty(workspace)) });
    await sleep(args.number('idle') * 1_000);
    for (const { name, pid } of running) found.get(name)?.push(await resident(pid));
    for (const { stop } of running) await stop();
    const line = [...found].map(([name, mb]) => `${name} ${figure(mb.at(-1) ?? 0)} MB`);
    progress(`  start ${round + 1}: ${line.join(', ')}`);
  }
  const medians = new Map([...found].map(([name, mb]) => [name, median(mb)]));
  const empty = medians.get('empty') ?? Number.NaN;
  medians.delete('empty');
  return { engines: medians, empty };
}
