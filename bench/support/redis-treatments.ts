import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from '../../src/testbed/os.ts';
import { runCli, type SidecarProcess } from '../../src/testbed/processes.ts';
import type { RedisServer } from '../../src/testbed/redis/server.ts';
import type { FreezeContext, Hold } from '../../src/engines/engine.ts';
import { createEngine } from '../../src/engines/redis/index.ts';
import type { Treatment } from './trial.ts';

/** How the data is made durable by hand: the AOF by an fsync, RDB files by a save. */
export type Durability = 'fsync' | 'save';

/** The same steps over the same kind of call, by quiesce and by hand. */
export interface Pair {
  readonly how: string;
  readonly quiesce: Treatment;
  readonly byHand: Treatment;
}

export interface Place {
  readonly server: RedisServer;
  readonly sidecar: SidecarProcess;
  readonly dataDir: string;
  readonly durability: Durability;
}

const PAUSE_MS = 60_000;
const LOOK_EVERY_MS = 5;

/** One pair for each kind of call: over an open connection, and by hooks that start programs. */
export function pairsAt(place: Place): readonly Pair[] {
  const name = place.durability === 'save' ? 'pause + BGSAVE' : 'pause + fsync';
  return [
    {
      how: 'open connection',
      quiesce: overSocket(place.sidecar),
      byHand: connected(place, `${name} by hand`),
    },
    {
      how: 'hooks',
      quiesce: commandLine(place.sidecar),
      byHand: script(place, `${name} by redis-cli`),
    },
  ];
}

function overSocket({ socket }: SidecarProcess): Treatment {
  const hook = async (verb: 'freeze' | 'thaw'): Promise<void> => {
    const call = request({ socketPath: socket, path: `/v1/${verb}`, method: 'POST' });
    call.end();
    const [response] = (await once(call, 'response')) as [
      NodeJS.ReadableStream & { statusCode: number },
    ];
    let body = '';
    for await (const chunk of response) body += String(chunk);
    if (response.statusCode !== 200) throw new Error(`quiesce ${verb}: ${body}`);
  };
  return { name: 'quiesce, socket', freeze: () => hook('freeze'), thaw: () => hook('thaw') };
}

function commandLine({ env }: SidecarProcess): Treatment {
  const hook = async (verb: 'freeze' | 'thaw'): Promise<void> => {
    const { code, stderr } = await runCli([verb], env);
    if (code !== 0) throw new Error(`quiesce ${verb}: ${stderr}`);
  };
  return {
    name: 'quiesce freeze, quiesce thaw',
    freeze: () => hook('freeze'),
    thaw: () => hook('thaw'),
  };
}

/** The steps as people write them in programs. */
function connected({ server, durability }: Place, name: string): Treatment {
  const call = async (...words: string[]): Promise<unknown> =>
    await server.admin.call(words[0] ?? '', ...words.slice(1));
  const save = async (): Promise<void> => {
    await call('BGSAVE');
    while ((await server.info('rdb_bgsave_in_progress')) !== '0') await sleep(LOOK_EVERY_MS);
  };
  const fsync = async (): Promise<void> => {
    await call('CONFIG', 'SET', 'appendfsync', 'always');
    await call('CONFIG', 'SET', 'appendfsync', 'everysec');
  };
  return {
    name,
    freeze: async () => {
      await call('CLIENT', 'PAUSE', String(PAUSE_MS), 'WRITE');
      await (durability === 'save' ? save() : fsync());
    },
    thaw: async () => void (await call('CLIENT', 'UNPAUSE')),
  };
}

/** The steps as people write them in hooks. */
function script({ server, durability }: Place, name: string): Treatment {
  const cli = `redis-cli -p ${server.port}`;
  const fsync = `${cli} CONFIG SET appendfsync always && ${cli} CONFIG SET appendfsync everysec`;
  return {
    name,
    freeze: async () => {
      const pause = `${cli} CLIENT PAUSE ${PAUSE_MS} WRITE`;
      await tool('sh', '-c', `${pause} && ${durability === 'save' ? bgsave(cli) : fsync}`);
    },
    thaw: async () => void (await tool('sh', '-c', `${cli} CLIENT UNPAUSE`)),
  };
}

function bgsave(cli: string): string {
  const saving = `${cli} INFO persistence | grep -q rdb_bgsave_in_progress:1`;
  return `${cli} BGSAVE && while ${saving}; do sleep 0.0${LOOK_EVERY_MS}; done`;
}

/** Treatments that are faster than a true backup can be: they lose writes. */
export function lossyAt({ server }: Place): readonly Treatment[] {
  return [
    {
      name: 'CLIENT PAUSE alone',
      freeze: async () => void (await server.admin.call('CLIENT', 'PAUSE', PAUSE_MS, 'WRITE')),
      thaw: async () => void (await server.admin.call('CLIENT', 'UNPAUSE')),
    },
    {
      name: 'redis-cli BGSAVE, waited for',
      freeze: async () => void (await tool('sh', '-c', bgsave(`redis-cli -p ${server.port}`))),
      thaw: async () => undefined,
    },
  ];
}

/** The engine in this process: its own part of a stall, without sidecar, journal and receipt. */
export function engineAlone({ server, dataDir }: Place): Treatment {
  const settings = { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(server.port) };
  const engine = createEngine({ settings, dataDir });
  const nothing = async (): Promise<void> => undefined;
  const context: FreezeContext = {
    id: 'bench',
    copy: 'snapshot',
    ttlMs: PAUSE_MS,
    progress: () => undefined,
    keep: nothing,
    remember: nothing,
  };
  let hold: Hold | undefined;
  return {
    name: 'its engine alone',
    freeze: async () => {
      const { signal } = new AbortController();
      await engine.prepare(context, signal);
      hold = await engine.hold(context, signal);
    },
    thaw: async () => {
      const { signal } = new AbortController();
      const breaches = await hold?.check(signal);
      await hold?.release(signal);
      if (breaches?.length !== 0) throw new Error('the hold did not hold');
    },
  };
}
