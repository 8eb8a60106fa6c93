/** A verb that is loaded only when it runs; `run` resolves with the exit code. */
interface Command {
  /** Its line in `quiesce --help`. */
  readonly summary: string;
  load(): Promise<{ run(args: readonly string[]): Promise<number> }>;
}

/**
 * The verbs that do more than call the sidecar, in the order in which help lists them. Each is a bundle
 * of its own, so that a hook never spends time on loading them.
 */
export const COMMANDS = {
  sidecar: {
    summary: 'run the daemon next to the database',
    load: async () => {
      await spareMemory();
      return await import('./sidecar.ts');
    },
  },
  'prepare-restore': {
    summary: 'prepare a restored copy, before its server starts',
    load: () => import('./prepare-restore.ts'),
  },
  inject: {
    summary: 'add the sidecar and the Velero hooks to a manifest, and print it',
    load: () => import('./inject.ts'),
  },
  webhook: {
    summary: 'do the same for every pod with the label, as an admission webhook',
    load: () => import('./webhook.ts'),
  },
  doctor: {
    summary: 'list what a cluster or a manifest leaves unprotected or half-configured',
    load: () => import('./doctor.ts'),
  },
  plan: {
    summary: 'show an application: members in order, volumes, and what a restore brings back',
    load: () => import('./plan.ts'),
  },
  snapshot: {
    summary: 'freeze an application, cut its volumes, thaw it, and say what that proves',
    load: () => import('./snapshot.ts'),
  },
  snapshots: {
    summary: 'list, show and prune the runs of quiesce snapshot',
    load: () => import('./snapshots.ts'),
  },
  restore: {
    summary: 'restore an application layer by layer, and say what that proves',
    load: () => import('./restore.ts'),
  },
  drill: {
    summary: 'prove a snapshot or backup: restore it aside, judge, measure, and remove it',
    load: () => import('./drill.ts'),
  },
  validate: {
    summary: 'say whether the application that runs is whole, and what ends the search if not',
    load: () => import('./validate.ts'),
  },
  collect: {
    summary: 'write one file for support, without secrets',
    load: () => import('./collect.ts'),
  },
  exporter: {
    summary: 'serve the results of snapshots as metrics, those of Velero too',
    load: () => import('./exporter.ts'),
  },
  demo: {
    summary: 'show a whole backup and restore on an embedded PostgreSQL, or with --engine redis',
    load: () => import('./demo.ts'),
  },
} as const satisfies Readonly<Record<string, Command>>;

export type CommandName = keyof typeof COMMANDS;

/** What validate and drill run in containers of pods. People have no use for them, so no help lists them. */
export const INSIDE = {
  reach: () => import('./reach.ts'),
  ask: () => import('./ask.ts'),
  isolated: () => import('./isolated.ts'),
} as const satisfies Readonly<Record<string, Command['load']>>;

/**
 * Sets V8's flags for little memory: a sidecar idles next to a database for months. They must be set
 * before anything else loads. The space for young objects keeps its first size; V8 would double it while
 * the program loads, and seldom shrink it again. Only hot code is compiled to machine code, since the
 * compiler's pages cost more than they save an idle program. The compiler stays on: without it, proving
 * a restore from WAL would take thirty times as long.
 */
async function spareMemory(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  const flags = ['--semi-space-growth-factor=1', '--no-sparkplug'];
  // Newer versions know neither flag, would warn on stderr, and hold their compiler back anyway.
  if (process.versions.v8.startsWith('11.3.')) {
    flags.push('--ticks-before-optimization=1500', '--max-bytecode-size-for-early-opt=0');
  }
  for (const flag of flags) setFlagsFromString(flag);
}
