import { Agent, request } from 'node:http';
import type { Workspace } from '../src/testbed/workspace.ts';
import { makeRig } from './support/rig.ts';
import { type Idle, measureIdle } from './support/idle.ts';
import { type Arguments, type Benchmark, program, progress } from './support/program.ts';
import { figure, type Goal, type Report, type Table, times } from './support/report.ts';
import { resident, startEmpty } from './support/resident.ts';
import { median } from './support/stats.ts';

/** The most that an idle sidecar of any engine may use, as a multiple of an empty HTTP server. */
const IDLE_LIMIT = 1.4;
/**
 * The most that memory in the last tenth of all freezes may be, as a multiple of memory half-way. V8
 * lets a heap vary by 3 %, that of an empty server too.
 */
const GROWTH_LIMIT = 1.05;
const SAMPLES = 40;

const benchmark: Benchmark = {
  name: 'memory',
  summary:
    'Resident memory of an idle sidecar of each engine, and of a PostgreSQL sidecar that has frozen and\nthawed a real server many times, against an empty Node HTTP server, idle and after as many requests.',
  settings: {
    freezes: { help: 'freezes, each thawed', value: 10_000, quick: 200 },
    starts: { help: 'sidecars and servers started for the idle figure', value: 5, quick: 2 },
    // V8 collects the garbage of the start once it is idle, up to ten seconds later.
    idle: { help: 'seconds without a request before the measurement', value: 30, quick: 15 },
  },
  run,
};

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

interface Usage {
  readonly label: string;
  readonly points: (readonly [freezes: number, mb: number])[];
}

/** Sends two requests for each freeze, and reads the memory at regular intervals. */
async function freezeRepeatedly(
  label: string,
  { pid, where }: { readonly pid: number | undefined; readonly where: Where },
  freezes: number,
): Promise<Usage & { readonly seconds: number }> {
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
  const rig = await makeRig(workspace, {
    postgres: args.postgres,
    // Only memory counts here: the server need not wait for its disk, or fill 16 MB for each freeze.
    serverSettings: { fsync: 'off' },
    initdbArgs: ['--wal-segsize=1'],
  });
  const at = await measureIdle(rig, workspace, args);
  const freezes = args.number('freezes');
  const { sidecar } = rig;
  const own = await freezeRepeatedly(
    'quiesce',
    { pid: sidecar.pid, where: { socketPath: sidecar.socket } },
    freezes,
  );
  const server = await startEmpty(workspace);
  const empty = await freezeRepeatedly('empty server', server, freezes);
  const goals: Goal[] = [
    ...[...at.engines].map(([engine, mb]) => ({
      what: `RSS of an idle sidecar of ${engine} over an empty HTTP server`,
      measured: mb / at.empty,
      limit: IDLE_LIMIT,
    })),
    {
      what: `RSS at the end of ${freezes} freezes over half-way`,
      measured: growth(own),
      limit: GROWTH_LIMIT,
    },
  ];
  const each = (own.seconds * 1_000) / freezes;
  return {
    title: 'Memory',
    method: `Idle: medians of ${args.text('starts')} starts, ${args.text('idle')} s after each; all have answered a request, and each sidecar is connected to a real server. Then PostgreSQL ${args.postgres}: ${freezes} freezes and thaws of a real server over the socket (${figure(each)} ms per pair; fsync off), and twice as many requests to the empty server. Resident set in MB, from /proc.`,
    tables: [idleTable(at), usageTable(own, empty, freezes)],
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

const last = ({ points }: Usage): number => points.at(-1)?.[1] ?? Number.NaN;

function growth({ points }: Usage): number {
  const mb = points.map(([, value]) => value);
  const tenth = Math.max(1, Math.round(mb.length / 10));
  const half = Math.floor(mb.length / 2);
  return median(mb.slice(-tenth)) / median(mb.slice(half - tenth + 1, half + 1));
}

function idleTable({ engines, empty }: Idle): Table {
  const rows = [...engines].map(([engine, mb]) => [
    `sidecar, ${engine}`,
    figure(mb),
    times(mb / empty),
  ]);
  return {
    title: 'Idle',
    head: ['', 'MB', '/ empty'],
    rows: [...rows, ['empty HTTP server', figure(empty), times(1)]],
  };
}

function usageTable(own: Usage, empty: Usage, freezes: number): Table {
  const first = (usage: Usage): number => usage.points[0]?.[1] ?? Number.NaN;
  const peak = (usage: Usage): number => Math.max(...usage.points.map(([, mb]) => mb));
  const row = (name: string, usage: Usage): string[] => [
    name,
    figure(first(usage)),
    figure(last(usage)),
    figure(peak(usage)),
    times(growth(usage)),
  ];
  return {
    title: 'Over many freezes',
    head: ['', 'before', `after ${freezes} freezes`, 'most', 'end / half-way'],
    rows: [
      row('sidecar, postgres', own),
      row('empty HTTP server', empty),
      [
        'ratio',
        times(first(own) / first(empty)),
        times(last(own) / last(empty)),
        times(peak(own) / peak(empty)),
        '',
      ],
    ],
  };
}

await program(benchmark);
