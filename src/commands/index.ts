/** Loaded by its verb alone; `run` resolves with the exit code. */
interface Command {
  /** For `quiesce --help`. */
  readonly summary: string;
  load(): Promise<{ run(args: readonly string[]): Promise<number> }>;
}

/**
 * The verbs that are more than a call to the sidecar, in the order a reader meets them. Each is a
 * bundle of its own: a hook never pays for loading them.
 */
export const COMMANDS = {
  sidecar: {
    summary: 'run the daemon beside the database',
    load: async () => {
      await spareMemory();
      return await import('./sidecar.ts');
    },
  },
  'prepare-restore': {
    summary: 'make a restored copy ready, before its server starts',
    load: () => import('./prepare-restore.ts'),
  },
  inject: {
    summary: 'print a manifest with the sidecar and the Velero hooks in it',
    load: () => import('./inject.ts'),
  },
  webhook: {
    summary: 'the same for every pod with the label, as an admission webhook',
    load: () => import('./webhook.ts'),
  },
  doctor: {
    summary: 'name what a cluster or a manifest leaves unprotected or half-configured',
    load: () => import('./doctor.ts'),
  },
  demo: {
    summary: 'show the whole of it on an embedded PostgreSQL, or with --engine redis',
    load: () => import('./demo.ts'),
  },
} as const satisfies Readonly<Record<string, Command>>;

export type CommandName = keyof typeof COMMANDS;

/**
 * A sidecar idles beside somebody's database for months: it takes V8's flags for little memory. V8 reads
 * them whenever it decides, but they must be there before anything loads. The space for young objects,
 * which V8 doubles while a program loads and seldom gives back, keeps its first size. Machine code is
 * made only of what runs hot: the compiler's pages weigh more than all that it saves an idle program. It
 * is not turned off, or proving a restore from WAL would take thirty times as long.
 */
async function spareMemory(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  const flags = ['--semi-space-growth-factor=1', '--no-sparkplug'];
  // Newer ones have neither flag, would say so on stderr, and hold their compiler back by themselves.
  if (process.versions.v8.startsWith('11.3.')) {
    flags.push('--ticks-before-optimization=1500', '--max-bytecode-size-for-early-opt=0');
  }
  for (const flag of flags) setFlagsFromString(flag);
}
