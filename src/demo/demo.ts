import { QuiesceError } from '../errors.ts';
import { embeddedMajors } from '../lib/command-line/demo-servers.ts';
import { CheckFailed, Checks } from './checks.ts';
import type { DemoOptions } from './options.ts';
import { makePaint, wantsColor } from '../lib/command-line/paint.ts';
import { makeProgress, silent } from './progress.ts';
import { type DemoReport, type Running, summary } from './report.ts';
import { type Restored, restoreAndVerify } from './restore.ts';
import { type DemoRun, freezeAndCopy, setUp, type Source } from './scenario.ts';
import type { DemoDatabase, DemoServer } from './database.ts';
import type { SidecarProcess } from '../testbed/processes.ts';
import { stopWorkspaces, Workspace } from '../testbed/workspace.ts';

const NOT_CONSISTENT = 7;
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** How long a step may continue after Ctrl-C before the servers that it uses are stopped. */
const INTERRUPT_GRACE_MS = 3_000;

/**
 * `quiesce demo`: shows the main job on this machine, through the real command line.
 *
 * @returns the exit code. 0 only if every check passed; 7 if a check failed, and the output names it;
 *   128 plus the signal's number if interrupted. Except with `--keep`, everything that was started is
 *   stopped and removed, whatever the outcome.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  // A reader that exits early (a pipe to head) must not end the clean-up.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  if (options.stop) return await stopKept(options);
  const database = await findDatabase(options);
  await stopWorkspaces({ kept: false });
  return await perform(options, database);
}

async function stopKept({ output }: DemoOptions): Promise<number> {
  const stopped = await stopWorkspaces({ kept: true });
  const text = stopped.length === 0 ? 'Nothing was running.' : `Stopped ${stopped.join(', ')}`;
  process.stdout.write(`${output === 'json' ? JSON.stringify({ stopped }) : text}\n`);
  return 0;
}

/** Loads only the client of the requested database. */
async function findDatabase({ engine, postgres, server }: DemoOptions): Promise<DemoDatabase> {
  if (engine === 'postgres') {
    if (!embeddedMajors().includes(postgres)) throw withoutServer(postgres);
    return new (await import('./postgres.ts')).PostgresDemo(postgres);
  }
  return await (await import('./redis.ts')).RedisDemo.find(server);
}

function withoutServer(major: number): QuiesceError {
  const message = `There is no embedded PostgreSQL ${major} for ${process.platform}-${process.arch} here.`;
  return new QuiesceError('USAGE', message, {
    field: '--postgres',
    hint: 'The image has no database: run npm ci in a checkout, or use --engine redis where a server is installed.',
  });
}

async function perform(options: DemoOptions, database: DemoDatabase): Promise<number> {
  const begun = performance.now();
  const stream = options.output === 'json' ? process.stderr : process.stdout;
  const quiet = options.output === 'json' && !process.stderr.isTTY;
  const demo: DemoRun = {
    options,
    database,
    workspace: await Workspace.create(),
    checks: new Checks(),
    progress: quiet ? silent : makeProgress(stream),
    signal: new AbortController().signal,
    facts: {},
  };
  const interrupt = watchSignals();
  try {
    const running = await interrupt.race(runSteps({ ...demo, signal: interrupt.signal }));
    const report = makeReport(demo, running, performance.now() - begun);
    printReport(report, options);
    return report.failed ? NOT_CONSISTENT : 0;
  } catch (error) {
    if (interrupt.exit === undefined) throw error;
    return interrupt.exit;
  } finally {
    demo.progress.close();
    const failures = await demo.workspace.dispose();
    for (const failure of failures) process.stderr.write(`quiesce demo: clean-up: ${failure}\n`);
    interrupt.release();
  }
}

/** Runs all steps. A check that ends the run is recorded in `checks`, not thrown. */
async function runSteps(demo: DemoRun): Promise<Running | null> {
  let source: Source | undefined;
  let restored: Restored | undefined;
  try {
    source = await setUp(demo);
    const copy = await freezeAndCopy(demo, source);
    restored = await restoreAndVerify(demo, copy);
  } catch (error) {
    if (!(error instanceof CheckFailed)) throw error;
  }
  if (!demo.options.keep || !source) return null;
  return await leaveRunning(demo.workspace, source, restored);
}

async function leaveRunning(
  workspace: Workspace,
  source: Source,
  restored: Restored | undefined,
): Promise<Running> {
  await source.server.load.stop();
  await source.volume.keep();
  await workspace.keep();
  const pair = (server: DemoServer, sidecar: SidecarProcess): Running['source'] => {
    server.leave();
    sidecar.leave();
    const { socket, controlPort, metricsPort } = sidecar;
    return { shell: server.shell, port: server.port, socket, controlPort, metricsPort };
  };
  return {
    dir: workspace.dir,
    source: pair(source.server, source.sidecar),
    restored: restored ? pair(restored.server, restored.sidecar) : null,
  };
}

function makeReport(
  { checks, facts }: DemoRun,
  running: Running | null,
  tookMs: number,
): DemoReport {
  const failed = checks.failed ?? null;
  return {
    verdict: failed ? 'failed' : 'verified',
    failed,
    checks: checks.list,
    database: facts.database ?? null,
    receipt: facts.receipt ?? null,
    commandsMs: facts.commandsMs ?? null,
    acknowledgedBeforeFreeze: facts.acknowledgedBeforeFreeze ?? null,
    snapshot: facts.snapshot ?? null,
    writers: facts.writers ?? null,
    running,
    tookMs: Math.round(tookMs),
  };
}

function printReport(report: DemoReport, { output }: DemoOptions): void {
  const text =
    output === 'json'
      ? JSON.stringify(report, null, 2)
      : summary(report, makePaint(wantsColor(process.stdout))).join('\n');
  process.stdout.write(`${text}\n`);
}

/** Turns the first signal into an abort that waits for the step in progress. Ignores later signals. */
function watchSignals() {
  const controller = new AbortController();
  let exit: number | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    if (exit !== undefined) return;
    exit = SIGNALS[signal as keyof typeof SIGNALS];
    process.stderr.write('\nquiesce demo: interrupted, cleaning up\n');
    controller.abort(new Error('interrupted'));
  };
  for (const signal of Object.keys(SIGNALS)) process.on(signal, stop);
  return {
    signal: controller.signal,
    get exit(): number | undefined {
      return exit;
    },
    async race<T>(work: Promise<T>): Promise<T> {
      const late = new Promise<never>((_, reject) => {
        controller.signal.addEventListener('abort', () => {
          setTimeout(() => reject(new Error('interrupted')), INTERRUPT_GRACE_MS);
        });
      });
      return await Promise.race([work, late]);
    },
    release(): void {
      for (const signal of Object.keys(SIGNALS)) process.off(signal, stop);
    },
  };
}
