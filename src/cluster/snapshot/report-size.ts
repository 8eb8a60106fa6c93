import type { RunMember, SnapshotRun } from './document.ts';

/** An object of Kubernetes holds 1 MiB at most, with its labels. */
const MOST_BYTES = 900 * 1024;

/** Shortened in this order until the report fits. */
const STEPS: readonly { readonly what: string; apply(run: SnapshotRun): SnapshotRun }[] = [
  {
    what: 'the receipts of further pods',
    apply: (run) => eachMember(run, (member) => ({ ...member, receipts: [] })),
  },
  {
    what: 'all receipts, which stand on the snapshots',
    apply: (run) => eachMember(run, ({ receipt: _receipt, ...member }) => member),
  },
  {
    what: 'the problems of members beyond the first',
    apply: (run) => {
      const problems = run.problems.slice(0, 50);
      const short = { ...run, problems };
      return eachMember(short, (one) => ({ ...one, problems: one.problems.slice(0, 1) }));
    },
  },
  {
    what: 'the members and the claims that no backup holds beyond the first 500',
    apply: ({ leftOut, ...run }) => ({
      ...run,
      members: run.members.slice(0, 500),
      ...(leftOut !== undefined && { leftOut: leftOut.slice(0, 500) }),
    }),
  },
];

/** The report as JSON that fits into a ConfigMap. What was left out is said in it. */
export function reportText(run: SnapshotRun): string {
  let short = run;
  const dropped: string[] = [];
  for (const step of STEPS) {
    const text = JSON.stringify(short);
    if (Buffer.byteLength(text) <= MOST_BYTES) return text;
    dropped.push(step.what);
    short = { ...step.apply(short), shortened: `Left out for size: ${dropped.join('; ')}.` };
  }
  return JSON.stringify(short);
}

function eachMember(run: SnapshotRun, change: (member: RunMember) => RunMember): SnapshotRun {
  return { ...run, members: run.members.map(change) };
}
