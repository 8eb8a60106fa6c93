import { type Ran, type RunOptions } from '../run.ts';
import { quiesce } from './group-run.ts';
import type { Stage } from './stage.ts';

/** A drill as `quiesce drill -o json` prints it, as far as stories read it. */
export interface DrillSeen {
  readonly id: string;
  readonly verdict?: 'proven' | 'unproven' | 'failed';
  readonly scratch: readonly string[];
  readonly removed?: boolean;
  readonly source: { readonly kind: string; readonly name: string };
  readonly members: readonly {
    readonly name: string;
    readonly level?: string;
    readonly message?: string;
    readonly problems: readonly { readonly code: string; readonly message: string }[];
  }[];
  readonly problems: readonly { readonly code: string; readonly message: string }[];
  readonly rtoSeconds?: number;
  readonly rpoSeconds?: number;
}

/** One `quiesce drill -o json`. `run` is `undefined` if it printed none, after an error. */
export async function drill(
  stage: Stage,
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ readonly ran: Ran; readonly run: DrillSeen | undefined }> {
  const ran = await quiesce(stage, ['drill', ...args, '-o', 'json'], {
    timeoutMs: 15 * 60_000,
    ...options,
  });
  return { ran, run: parsed(ran.stdout) };
}

function parsed(text: string): DrillSeen | undefined {
  try {
    const found = JSON.parse(text) as { kind?: string } & DrillSeen;
    return found.kind === 'DrillRun' ? found : undefined;
  } catch {
    return undefined;
  }
}

/** All that a drill may leave, cluster-wide, and what it must not touch: names, sorted. */
export async function inventoryOf({ tools }: Stage): Promise<readonly string[]> {
  const kinds = ['namespaces', 'persistentvolumes', 'volumesnapshotcontents'];
  const within = [
    'persistentvolumeclaims',
    'volumesnapshots',
    'secrets',
    'pods',
    'networkpolicies',
  ];
  const template = '{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\\n"}{end}';
  const lists = await Promise.all([
    ...kinds.map((kind) => tools.kubectl(['get', kind, '-o', `jsonpath=${template}`])),
    ...within.map((kind) => tools.kubectl(['get', kind, '-A', '-o', `jsonpath=${template}`])),
  ]);
  const names = lists.flatMap((text) => text.split('\n')).filter((one) => one !== '');
  // What Velero and the platform make and remove by themselves.
  return names.filter((one) => !/\/(?:velero|kube-system|quiesce-system)\//.test(one)).toSorted();
}

/** Nothing was left, and nothing taken. */
export function judgeSame(
  stage: Stage,
  what: string,
  before: readonly string[],
  after: readonly string[],
): void {
  const [had, has] = [new Set(before), new Set(after)];
  const left = after.filter((one) => !had.has(one));
  const gone = before.filter((one) => !has.has(one));
  stage.equal(
    `${what}: ${before.length} objects before are the objects after`,
    { left, gone },
    {
      left: [],
      gone: [],
    },
  );
}

export function saidBy({ ran, run }: Awaited<ReturnType<typeof drill>>): unknown {
  const problems = [
    ...(run?.problems ?? []),
    ...(run?.members.flatMap((one) => one.problems) ?? []),
  ];
  return {
    exit: ran.status,
    verdict: run?.verdict,
    problems,
    stderr: ran.stderr.slice(-600),
    stdout: run === undefined ? ran.stdout.slice(-600) : '',
  };
}
