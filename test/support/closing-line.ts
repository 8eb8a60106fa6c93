import type { Reporter, TestModule, Vitest } from 'vitest/node';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface Run {
  /** The tiers that were asked for, as the projects of the configuration are called. */
  readonly tiers: readonly string[];
  /** How many of their files ran: a shard and names of files leave some out. */
  readonly files: { readonly ran: number; readonly all: number };
  /** Tests were picked by their names (`-t`). */
  readonly byName: boolean;
}

const REST = 'npm run test:full has the rest';

/** One plain line that says how many passed, and of what. */
export function closingLine({ passed, failed, skipped }: Counts, run: Run): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped (${described(run)})`;
}

function described({ tiers, files, byName }: Run): string {
  const named =
    tiers.length > 1 ? `${tiers.slice(0, -1).join(', ')} and ${tiers.at(-1)}` : tiers.join('');
  const part = files.ran < files.all ? `${files.ran} of ${files.all} files of ${named}` : named;
  if (byName) return `tests picked by name, of ${part}`;
  if (files.ran < files.all) return part;
  const whole = ['fast', 'smoke', 'full'].every((tier) => tiers.includes(tier));
  return whole || tiers.includes('kubernetes') ? named : `${named}; ${REST}`;
}

/** A skipped test is not a passed one, unless it was left out by name. */
export function isFailed({ failed, skipped }: Counts, { byName }: Run): boolean {
  return failed > 0 || (skipped > 0 && !byName);
}

/** Ends a run with one plain line a script can read, and fails a run in which anything was skipped. */
export default class ClosingLine implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  async onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): Promise<void> {
    const counts = countOf(modules, unhandled.length);
    const run = await this.#run(modules.length);
    if (isFailed(counts, run)) process.exitCode = 1;
    process.stdout.write(`\n${closingLine(counts, run)}\n`);
  }

  async #run(ran: number): Promise<Run> {
    const vitest = this.#vitest;
    if (!vitest) throw new Error('the run has ended before it began');
    return {
      tiers: vitest.projects.map(({ name }) => name),
      files: { ran, all: (await vitest.globTestSpecifications()).length },
      byName: vitest.config.testNamePattern !== undefined,
    };
  }
}

function countOf(modules: readonly TestModule[], unhandled: number): Counts {
  const counts = { passed: 0, failed: unhandled, skipped: 0 };
  for (const module of modules) {
    if (module.state() === 'failed' && module.children.size === 0) counts.failed += 1;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') counts.passed += 1;
      else if (state === 'failed') counts.failed += 1;
      else counts.skipped += 1;
    }
  }
  return counts;
}
