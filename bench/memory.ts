import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../src/demo/embedded-postgres.ts';
import { cleanEnv, get } from '../src/demo/processes.ts';
import { startSidecar } from '../src/demo/source.ts';
import type { Workspace } from '../src/demo/workspace.ts';
import { type Bed, makeBed } from './support/bed.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { figure, type Goal, type Report, type Table, times } from './support/report.ts';
import { median } from './support/stats.ts';

/** Of an idle sidecar over an empty HTTP server. */
const IDLE_LIMIT = 1.4;
/**
 * Of the last tenth of all freezes over what it was when half of them were done. V8 lets a heap swing
 * by 3 %, that of an empty server too.
 */
const GROWTH_LIMIT = 1.05;
const SAMPLES = 40;

const benchmark: Benchmark = {
  name: 'memory',
  summary:
    'Resident memory of an idle sidecar, and of one that has frozen and thawed a real server many\ntimes, against an empty Node HTTP server, idle and after as many requests.',
  settings: {
    freezes: { help: 'freezes, each thawed', value: 10_000, quick: 200 },
    starts: { help: 'sidecars and servers started for the idle figure', value: 5, quick: 2 },
    // V8 collects what starting left behind once it finds itself idle, up to ten seconds later.
    idle: { help: 'seconds they are left alone before they are measured', value: 30, quick: 15 },
  },
  run,
};

const EMPTY_SERVER = `import { createServer } from 'node:http';
createServer((request, response) => response.end('{}')).listen(Number(process.argv[2]), '127.0.0.1');
`;

/** MB, as the kernel counts it. */
async function resident(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) / 1_024;
}

async function startEmpty(workspace: Workspace) {
  const script = join(workspace.dir, 'empty.mjs');
  await writeFile(script, EMPTY_SERVER);
  const port = await freePort();
  const args = [script, String(port)];
  const child = spawn(process.execPath, args, { env: cleanEnv({}), stdio: 'ignore' });
  await workspace.defer(async () => child.kill());
  while (!(await get({ host: '127.0.0.1', port }, '/').catch(() => undefined))) await sleep(20);
  return { pid: child.pid, where: { host: '127.0.0.1', port }, stop: (): boolean => child.kill() };
}

/** Both are idle at the same time, each start after the other. */
async function idle(bed: Bed, workspace: Workspace, args: Arguments) {
  const [own, empty]: [number[], number[]] = [[], []];
  const role = bed.role;
  for (let start = 0; start < args.number('starts'); start += 1) {
    const sidecar = await startSidecar(workspace, `i${start}`, bed.target, bed.volume, role);
    const server = await startEmpty(workspace);
    await sidecar.ready();
    await sleep(args.number('idle') * 1_000);
    own.push(await resident(sidecar.pid));
    empty.push(await resident(server.pid));
    await sidecar.stop();
    server.stop();
    progress(
      `  start ${start + 1}: ${figure(own.at(-1) ?? 0)} MB, ${figure(empty.at(-1) ?? 0)} MB`,
    );
  }
  return { own: median(own), empty: median(empty) };
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

type Where = { readonly socketPath: string } | { readonly host: string; readonly port: number };

function post(where: Where, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const call = request({ ...where, path, method: 'POST', agent, headers }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${path} answered ${response.statusCode}: ${body}`));
      });
    });
    call.on('error', reject);
    call.end('{}');
  });
}

interface Worn {
  readonly label: string;
  readonly points: (readonly [freezes: number, mb: number])[];
}

/** Calls twice for each freeze, and looks at the memory from time to time. */
async function wear(
  label: string,
  { pid, where }: { readonly pid: number | undefined; readonly where: Where },
  freezes: number,
): Promise<Worn & { readonly seconds: number }> {
  const points: (readonly [number, number])[] = [[0, await resident(pid)]];
  const every = Math.max(1, Math.round(freezes / SAMPLES));
  const begun = performance.now();
  for (let i = 1; i <= freezes; i += 1) {
    await post(where, '/v1/freeze');
    await post(where, '/v1/thaw');
    if (i % every === 0) points.push([i, await resident(pid)]);
    if (i % (every * 4) === 0) progress(`  ${label}: ${i}, ${figure(points.at(-1)?.[1] ?? 0)} MB`);
  }
  return { label, points, seconds: (performance.now() - begun) / 1_000 };
}

async function run(args: Arguments, workspace: Workspace): Promise<Report> {
  progress('memory');
  const bed = await makeBed(workspace, {
    postgres: args.postgres,
    // Only memory is looked at: the server need not wait for its disk, nor fill 16 MB a freeze.
    serverSettings: { fsync: 'off' },
    initdbArgs: ['--wal-segsize=1'],
  });
  const at = await idle(bed, workspace, args);
  const freezes = args.number('freezes');
  const { sidecar } = bed;
  const own = await wear(
    'quiesce',
    { pid: sidecar.pid, where: { socketPath: sidecar.socket } },
    freezes,
  );
  const server = await startEmpty(workspace);
  const empty = await wear('empty server', server, freezes);
  const goals: Goal[] = [
    {
      what: 'RSS of an idle sidecar over an empty HTTP server',
      measured: at.own / at.empty,
      limit: IDLE_LIMIT,
    },
    {
      what: `RSS at the end of ${freezes} freezes over half-way`,
      measured: growth(own),
      limit: GROWTH_LIMIT,
    },
  ];
  const each = (own.seconds * 1_000) / freezes;
  return {
    title: 'Memory',
    method: `PostgreSQL ${args.postgres}; idle: medians of ${args.text('starts')} starts, ${args.text('idle')} s after each, both having answered a request; then ${freezes} freezes and thaws of a real server over the socket (${figure(each)} ms a pair; fsync off), and twice as many requests to the empty server. Resident set in MB, from /proc.`,
    tables: [tableOf(at, own, empty, freezes)],
    goals,
    charts: [
      {
        kind: 'lines',
        title: `Resident memory over ${freezes} freezes`,
        x: 'freezes',
        y: 'MB',
        log: false,
        series: [own, empty],
      },
    ],
    notes: [],
  };
}

const last = ({ points }: Worn): number => points.at(-1)?.[1] ?? Number.NaN;

function growth({ points }: Worn): number {
  const mb = points.map(([, value]) => value);
  const tenth = Math.max(1, Math.round(mb.length / 10));
  const half = Math.floor(mb.length / 2);
  return median(mb.slice(-tenth)) / median(mb.slice(half - tenth + 1, half + 1));
}

function tableOf(
  at: { readonly own: number; readonly empty: number },
  own: Worn,
  empty: Worn,
  freezes: number,
): Table {
  const peak = (worn: Worn): number => Math.max(...worn.points.map(([, mb]) => mb));
  return {
    head: ['', 'idle', `after ${freezes} freezes`, 'most', 'end / half-way'],
    rows: [
      ['sidecar', figure(at.own), figure(last(own)), figure(peak(own)), times(growth(own))],
      [
        'empty HTTP server',
        figure(at.empty),
        figure(last(empty)),
        figure(peak(empty)),
        times(growth(empty)),
      ],
      [
        'ratio',
        times(at.own / at.empty),
        times(last(own) / last(empty)),
        times(peak(own) / peak(empty)),
        '',
      ],
    ],
  };
}

await program(benchmark);
