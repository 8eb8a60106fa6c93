import { toQuiesceError } from '../../errors.ts';
import type { RunProblem } from './document.ts';
import type { CutResult } from './volumes.ts';

class NotCut extends Error {
  readonly problems: readonly RunProblem[];

  constructor(problems: readonly RunProblem[]) {
    super('not all volumes were cut');
    this.problems = problems;
  }
}

/** Why a cut is not whole. @param late the leases would have ended */
export function notCut({ problems, snapshots }: CutResult, late: boolean): NotCut {
  if (!late && problems.length > 0) return new NotCut(problems);
  const left = snapshots.filter(({ cut }) => !cut);
  const names = left.slice(0, 10).map(({ name, namespace }) => `${namespace}/${name}`);
  const message = `Not cut before the lease of a freeze would have ended: ${names.join(', ')}.`;
  const hint = 'Find out why the driver is slow, or raise --ttl.';
  return new NotCut([{ code: 'RUN_TOO_LATE', message, hint }, ...problems]);
}

/** What ended a step of a run, as its problems. */
export function problemsFrom(error: unknown): readonly RunProblem[] {
  if (error instanceof NotCut) return error.problems;
  const { code, message, hint } = error as Partial<RunProblem>;
  if (typeof code === 'string' && typeof message === 'string' && /^[A-Z_]+$/.test(code)) {
    return [{ code, message, ...(hint !== undefined && { hint }) }];
  }
  const { hint: general } = toQuiesceError(error);
  const text = error instanceof Error ? error.message : String(error);
  return [{ code: 'INTERNAL', message: text, hint: general }];
}
