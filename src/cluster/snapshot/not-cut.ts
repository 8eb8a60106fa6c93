import { toQuiesceError } from '../../errors.ts';
import type { RunProblem } from './document.ts';
import type { CutResult, PlannedClaim, VolumePlan } from './volumes.ts';

const SHOWN = 10;

class NotCut extends Error {
  readonly problems: readonly RunProblem[];

  constructor(problems: readonly RunProblem[]) {
    super('not all volumes were cut');
    this.problems = problems;
  }
}

/** Why a cut is not whole. */
export function notCut(
  { problems, snapshots }: CutResult,
  { claims }: VolumePlan,
  late: boolean,
): NotCut {
  if (!late && problems.length > 0) return new NotCut(problems);
  const isCut = ({ namespace, claim }: PlannedClaim): boolean =>
    snapshots.some((one) => one.cut && one.namespace === namespace && one.claim === claim);
  const left = claims.filter((one) => !isCut(one));
  const names = left.slice(0, SHOWN).map(({ namespace, claim }) => `${namespace}/${claim}`);
  const more = left.length > SHOWN ? `, and ${left.length - SHOWN} more` : '';
  // A group snapshot may fail as a whole, with each of its members cut.
  const what =
    left.length === 0
      ? 'The cut was not seen as whole'
      : `These claims were not seen as cut: ${names.join(', ')}${more}`;
  const message = `${what}, before the lease of a freeze would have ended.`;
  const hint = 'Find out why the driver is slow, or raise --ttl.';
  return new NotCut([{ code: 'RUN_TOO_LATE', message, hint }, ...problems]);
}

/** What an error of any kind says of a run. */
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
