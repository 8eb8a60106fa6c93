import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fingerprint, isAlive } from '../../src/testbed/os.ts';
import { requireInstalled } from '../support/packages.ts';
import { ensureImages, PACKAGES } from './images/index.ts';
import type { Programs as VeleroPrograms } from './images/recipe.ts';
import { type Prepared, playInside } from './inside.ts';
import { type Programs, STATE, state } from './layout.ts';
import { type Options, parseOptions, USAGE } from './options.ts';
import { record } from './report.ts';
import { type Ran, run } from './run.ts';
import { runInKept, runInSandbox } from './sandbox/enter.ts';
import { differencesOf, lookAtMachine } from './sandbox/machine.ts';
import { prepareMachine, removeLeftovers } from './sandbox/leftovers.ts';
import { watchParents } from './sandbox/parents.ts';
import { say } from './say.ts';
import { chosen, listOf, STORIES } from './stories/index.ts';

const SCRIPT = 'scripts/cluster-programs.mjs';
const LOCK = `${STATE}.lock`;
const BUILD_WITHIN_MS = 90 * 60_000;

process.exit(
  await main(process.argv.slice(2)).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    return 1;
  }),
);

async function main(args: readonly string[]): Promise<number> {
  const options = optionsOf(args);
  if (options === null) return 2;
  if (options.help) process.stdout.write(USAGE);
  else if (options.list) process.stdout.write(listOf(STORIES));
  else if (options.record) await record();
  else if (options.inside) return await playInside(options);
  else return await outside(options, args);
  return 0;
}

/** @returns null where they are wrong, after it has said how */
function optionsOf(args: readonly string[]): Options | null {
  try {
    const options = parseOptions(args);
    chosen(options.stories, options.ci);
    return options;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return null;
  }
}

async function outside(options: Options, args: readonly string[]): Promise<number> {
  requireMachine();
  if (options.kept) return await runInKept(args);
  await takeLock();
  try {
    await removeLeftovers();
    return options.down ? 0 : await runWhole(options, args);
  } finally {
    if (!options.keep) await removeLeftovers();
    await rm(LOCK, { force: true });
  }
}

async function runWhole(options: Options, args: readonly string[]): Promise<number> {
  if (options.ci) {
    const missing = (await run(process.execPath, [SCRIPT, '--missing'])).stdout.trim();
    if (missing !== '') {
      const names = chosen(options.stories, true).map(({ name }) => name);
      process.stdout.write(
        `Not run on a real cluster: ${names.join(', ')}\n` +
          `The cache lacks what takes 20 minutes and more to build: ${missing.split('\n').join(', ')}\n`,
      );
      return 0;
    }
  }
  requireInstalled({ ...PACKAGES, ...CLUSTER_PACKAGES });
  if (options.stories.length === 0 && !options.ci && !options.none) {
    say('the tests of the CSI driver');
    await runScript('--test-driver');
  }
  say('programs and images');
  const programs = JSON.parse((await runScript()).stdout) as Programs;
  const images = await ensureImages({ programs: binariesOf(programs), say });
  await mkdir(STATE, { recursive: true });
  const prepared: Prepared = { programs, images };
  await writeFile(state('prepared.json'), JSON.stringify(prepared));
  const before = await lookAtMachine();
  await prepareMachine();
  await endWith(options);
  const code = await runInSandbox(args, options.keep);
  if (options.keep) {
    process.stdout.write(howToUse(await readFile(state('sandbox'), 'utf8')));
    return code;
  }
  await removeLeftovers();
  const differences = differencesOf(before, await lookAtMachine());
  for (const one of differences) process.stderr.write(`The run has changed this machine. ${one}\n`);
  return differences.length === 0 ? code : 1;
}

/** From empty caches, building takes much longer than any other program may. What is built is said as it begins. */
async function runScript(...args: readonly string[]): Promise<Ran> {
  return await run(process.execPath, [SCRIPT, ...args], {
    timeoutMs: BUILD_WITHIN_MS,
    onStderr: (text) => {
      for (const line of text.split('\n')) if (line.startsWith('Building ')) say(`  ${line}`);
    },
  });
}

/** What the cluster itself runs. */
const CLUSTER_PACKAGES = {
  containerd: 'containerd',
  runc: 'runc',
  '../lib/cni/bridge': 'containernetworking-plugins',
  'mkfs.btrfs': 'btrfs-progs',
  iptables: 'iptables',
  ipset: 'ipset',
  conntrack: 'conntrack',
  openssl: 'openssl',
  ip: 'iproute2',
  // Alerts of the chart, on what a story's exporter serves.
  prometheus: 'prometheus',
};

function binariesOf({ folders }: Programs): VeleroPrograms {
  return {
    velero: resolve(folders.velero, 'velero'),
    veleroRestoreHelper: resolve(folders.velero, 'velero-restore-helper'),
    veleroPluginForAws: resolve(folders.velero, 'velero-plugin-for-aws'),
  };
}

function requireMachine(): void {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error('The cluster runs on Linux on x86-64 only.');
  }
  if (process.getuid?.() !== 0) {
    throw new Error(
      'The cluster needs root, for its mounts, networks and containers. Run it with sudo.',
    );
  }
}

/** One cluster at a time: a second run waits for nobody, and says who is in the way. */
async function takeLock(): Promise<void> {
  const holder = await readFile(LOCK, 'utf8').catch(() => undefined);
  if (holder !== undefined && (await isAlive(holder))) {
    throw new Error(`Another run is under way: process ${holder.split(' ')[0]}.`);
  }
  await writeFile(LOCK, await fingerprint(process.pid));
}

/** Ends the sandbox when this process is told to end, or when the npm that started it is gone. */
async function endWith({ keep }: Options): Promise<void> {
  const end = (): void => {
    const finished = keep ? Promise.resolve() : removeLeftovers();
    void finished.finally(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  await watchParents(end);
}

function howToUse(sandbox: string): string {
  const [pid = ''] = sandbox.split(' ');
  return `
The cluster is up. A shell in it:
  nsenter --target ${pid} --mount --net --pid bash -c '. ${state('env.sh')}; exec bash'
There, kubectl, helm and velero reach it. More stories: npm run test:velero -- --kept STORY…
Its logs: ${state('log')}. End it: npm run test:velero -- --down
`;
}
