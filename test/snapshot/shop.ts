import { spawn } from 'node:child_process';
import { onTestFinished } from 'vitest';
import type { SnapshotRun } from '../../src/cluster/snapshot/document.ts';
import { cleanEnv, cliPath } from '../../src/testbed/processes.ts';
import { type FarmSidecar, SidecarFarm } from '../support/sidecar-farm.ts';
import { SimulatedApi } from '../support/simulated-api.ts';

export interface Shop {
  readonly api: SimulatedApi;
  readonly farm: SidecarFarm;
  readonly db: FarmSidecar;
  readonly cache: FarmSidecar;
}

interface ShopOptions {
  readonly driver?: string;
  readonly token?: string;
  readonly group?: boolean;
  readonly dbEngine?: string;
  readonly dbBlocks?: boolean;
}

/** Two members: `db`, which is sealed, and `cache`, which blocks its writers. */
async function makeShop(options: ShopOptions = {}): Promise<Shop> {
  const { driver = 'rbd.csi.ceph.com', token, dbEngine = 'postgres', dbBlocks = false } = options;
  const api = await new SimulatedApi().start();
  const farm = await SidecarFarm.make();
  if (options.group === true) api.cluster.groupVersions = ['v1'];
  api.cluster.snapshotClass('snap', driver);
  if (options.group === true) api.cluster.groupClass('snaps', driver);
  const secret = token === undefined ? {} : { token };
  const db = await farm.add({ engine: dbEngine, blocks: dbBlocks, ...secret });
  const cache = await farm.add({ engine: 'redis', blocks: true });
  const env = token === undefined ? [] : [{ name: 'QUIESCE_CONTROL_TOKEN', value: token }];
  api.member('db', db, { engine: dbEngine, driver, env });
  api.member('cache', cache, { engine: 'redis', driver });
  return { api, farm, db, cache };
}

/** A shop that goes when the test ends. */
export async function shop(options?: ShopOptions): Promise<Shop> {
  const made = await makeShop(options);
  onTestFinished(async () => {
    await made.farm.remove();
    await made.api.stop();
  });
  return made;
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
  readonly run: SnapshotRun;
  // oxlint-disable-next-line typescript/no-explicit-any -- an error document, or the run
  readonly body: any;
}

export function start(api: SimulatedApi, args: readonly string[] = [], verb = 'snapshot') {
  const words = [verb, '-n', 'shop', '--kubeconfig', api.kubeconfig, '-o', 'json', ...args];
  const child = spawn(process.execPath, [cliPath(), ...words], { env: cleanEnv({}) });
  let [out, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => {
      const body: unknown = out === '' ? {} : JSON.parse(out);
      resolve({ code, stderr, body, run: body as SnapshotRun });
    });
  });
  return { child, ended };
}

export const snapshot = (api: SimulatedApi, args: readonly string[] = []): Promise<Ended> =>
  start(api, args).ended;

export const codes = ({ run }: { run: SnapshotRun }): readonly string[] =>
  run.problems.map(({ code }) => code);

export const heldBy = ({ db, cache }: Shop): readonly number[] => [
  db.engine.held,
  cache.engine.held,
];

export const labels = ({ api }: Shop): readonly (string | undefined)[] =>
  api.cluster
    .all('volumesnapshots')
    .map(({ metadata }) => metadata?.labels?.['quiesce.dev/verdict']);
