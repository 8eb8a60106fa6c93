import { groupBy } from '../../lib/group-by.ts';
import type { MemberState } from '../health/state.ts';
import { type MemberRef, type PlanMember } from '../plan/document.ts';
import { refText } from '../objects/kube-object.ts';
import type { Check, Link, ValidationProblem, ValidationVerdict } from './document.ts';

/** What a verdict rests on, besides problems that are known already. */
export interface Findings {
  readonly members: readonly PlanMember[];
  readonly states: readonly MemberState[];
  readonly links: readonly Link[];
  readonly checks: readonly Check[];
  readonly restarts: readonly ValidationProblem[];
}

/** All that is in the way of the best verdict. A pure function. */
export function problemsOf(found: Findings): readonly ValidationProblem[] {
  return [
    ...found.states.flatMap((state, index) => stateProblems(state, found.members[index])),
    ...found.restarts,
    ...found.links.flatMap(linkProblem),
    ...found.checks.flatMap(checkProblem),
    ...mixed(found.states),
  ];
}

export function verdictOf(problems: readonly ValidationProblem[]): ValidationVerdict {
  if (problems.some(({ severity }) => severity === 'error')) return 'failed';
  return problems.some(({ severity }) => severity === 'warning') ? 'unproven' : 'proven';
}

function stateProblems(
  state: MemberState,
  planned: PlanMember | undefined,
): readonly ValidationProblem[] {
  const object = refText(state.member);
  const causes = state.causes.map(({ code, message, hint, object: of }): ValidationProblem => {
    // A sidecar that does not answer leaves the data in doubt, not the application broken.
    const doubt = state.ready && (code === 'NOT_JUDGED' || isUnreachable(code));
    const severity = doubt ? 'warning' : 'error';
    return { code, severity, message, object: of, ...(hint !== undefined && { hint }) };
  });
  const found: ValidationProblem[] = [...causes];
  if (!state.ready && causes.length === 0) {
    found.push({ code: 'NOT_READY', severity: 'error', message: 'It is not ready.', object });
  }
  if (state.judged && state.level === 'unproven') {
    found.push({
      code: 'RESTORE_UNPROVEN',
      severity: 'warning',
      message: `Nothing shows that its restored data is whole: ${state.message ?? 'no reason is given'}`,
      hint: 'Look at the data; then accept it: quiesce status --acknowledge-restore in its sidecar.',
      object,
    });
  }
  if (planned?.protection === 'missing' || planned?.protection === 'none') {
    found.push({
      code: 'DATA_NOT_JUDGED',
      severity: 'warning',
      message: 'It keeps data on a volume, and no sidecar judges it.',
      hint: 'Give its pods the sidecar: label them quiesce.dev/inject=true.',
      object,
    });
  }
  return found;
}

function isUnreachable(code: string): boolean {
  return code === 'SIDECAR_UNREACHABLE' || code === 'FORBIDDEN';
}

function linkProblem({ from, ok, how, message, to }: Link): readonly ValidationProblem[] {
  const object = refText(from);
  if (how === 'none') {
    const text = `Its link to ${to} was not checked: ${message}`;
    return [{ code: 'LINK_NOT_CHECKED', severity: 'warning', message: text, object }];
  }
  if (ok) return [];
  const hint = 'Look at that one, at the Service, and at NetworkPolicies between the two.';
  return [{ code: 'LINK_BROKEN', severity: 'error', message, hint, object }];
}

function checkProblem({ member, kind, pod, ok, message }: Check): readonly ValidationProblem[] {
  if (ok === true) return [];
  const object = refText(member);
  const which = `Its check in ${kind === 'sql' ? 'SQL' : 'HTTP'}`;
  if (ok === false) {
    const text = `${which} fails in ${pod}: ${message}`;
    return [{ code: 'CHECK_FAILED', severity: 'error', message: text, object }];
  }
  const text = `${which} could not be made in ${pod}: ${message}`;
  return [{ code: 'CHECK_NOT_MADE', severity: 'warning', message: text, object }];
}

/** The id of a run, which is that of every freeze of it. */
const RUN = /-\d{14}-[0-9a-f]{4}$/;

/** Members whose data is of several runs were never together at one moment. */
function mixed(states: readonly MemberState[]): readonly ValidationProblem[] {
  const of = states.flatMap(({ member, receipts }) => receipts.map((id) => ({ id, member })));
  const runs = groupBy(
    of.filter(({ id }) => RUN.test(id)),
    ({ id }) => id,
  );
  if (runs.size < 2) return [];
  const texts = [...runs].map(
    ([id, all]) => `${id} (${all.map(({ member }) => nameOf(member)).join(', ')})`,
  );
  return [
    {
      code: 'RECEIPTS_DIFFER',
      severity: 'warning',
      message: `The data of its members is of several runs, so not of one moment: ${texts.join('; ')}.`,
      hint: 'Restore all of them from one run.',
      object: refText(of[0]?.member as MemberRef),
    },
  ];
}

function nameOf({ kind, name }: MemberRef): string {
  return `${kind}/${name}`;
}
