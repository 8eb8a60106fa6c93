import { counted } from '../../lib/counted.ts';
import { groupBy } from '../../lib/group-by.ts';
import { wrap } from '../../lib/command-line/flag-help.ts';
import { oneLine, plainly } from '../../lib/command-line/printable.ts';
import { refText } from '../objects/kube-object.ts';
import type { MemberRef, NotKept, Plan, PlanLayer, PlanMember, PlanProblem } from './document.ts';
import { backedUp, membersOf } from './document.ts';
import { EXCLUDE } from './left-out.ts';

/** The narrowest terminal that people use. A longer name or word gets a line of its own. */
const WIDTH = 80;
const SHOWN = 4;

type NameOf = (ref: MemberRef) => string;

const PROTECTION = {
  sidecar: 'frozen by a sidecar',
  none: 'never frozen (quiesce.dev/freeze: none)',
  missing: 'NOTHING FREEZES THEM',
  'not-needed': 'only read',
} as const;

/** The plan for people: what runs side by side, what a restore does not bring back, what is in the way. */
export function describePlan(given: Plan, source: string): string {
  const plan = plainly(given);
  const several = plan.namespaces.length > 1;
  const name: NameOf = ({ namespace, kind, name: own }) =>
    refText({ kind, name: own, ...(several && { namespace }) });
  return [
    ...plan.layers.map((layer, index) => describeLayer(layer, index + 1, name)),
    ...(plan.notKept.length === 0 ? [] : [describeNotKept(plan.notKept, name)]),
    ...plan.problems.map(describeProblem),
    summary(plan, oneLine(source)),
  ].join('\n\n');
}

function describeLayer({ members }: PlanLayer, number: number, name: NameOf): string {
  const width = Math.min(Math.max(...members.map((one) => name(one).length)), 40);
  return [`Layer ${number}`, ...members.flatMap((one) => describeMember(one, name, width))].join(
    '\n',
  );
}

function describeMember(member: PlanMember, name: NameOf, width: number): readonly string[] {
  const { engine, stage, priority, dependsOn, order, leftOut } = member;
  const { pods, claims } = backedUp(member);
  const what = [
    ...(engine === undefined ? [] : [engine]),
    `${stage}${restsOn(member)}`,
    ...(priority === 'normal' ? [] : [`priority ${priority}`]),
    ...podCount(member),
  ].join(', ');
  return [
    ...block(`  ${name(member).padEnd(width)}  `, what),
    ...(dependsOn.length === 0 ? [] : block('      after    ', `${short(dependsOn)} (annotation)`)),
    ...(order === undefined ? [] : [`      order    ${order} (annotation)`]),
    ...(pods.length === 0 ? [] : block('      pods     ', short(pods))),
    ...describeClaims(claims, member),
    ...(leftOut === undefined
      ? []
      : block('      left out ', `${short([...leftOut.pods, ...leftOut.claims])}: ${EXCLUDE}`)),
  ];
}

function describeClaims(
  claims: readonly string[],
  { protection, unfrozen = [] }: PlanMember,
): readonly string[] {
  const wordOf = (claim: string): string => {
    const found = unfrozen.find((one) => one.claim === claim);
    if (found === undefined) return PROTECTION[protection];
    return found.declared === undefined ? 'NOT FROZEN' : `not frozen (${found.declared})`;
  };
  const lines = [...groupBy(claims, wordOf)].flatMap(([word, some]) =>
    wrap(`${short(some)}: ${word}`, WIDTH - INDENT.length),
  );
  return lines.map((line, at) => `${at === 0 ? '      volumes  ' : INDENT}${line}`);
}

const INDENT = ' '.repeat('      volumes  '.length);

/** Where its place rests on an annotation, a line of its own shows that. */
function restsOn({ from, kind }: PlanMember): string {
  if (from === 'annotation') return '';
  return from === 'image' && !isWorkload(kind) ? ' (kind)' : ` (${from})`;
}

function isWorkload(kind: string): boolean {
  return ['StatefulSet', 'Deployment', 'DaemonSet', 'ReplicaSet', 'Pod'].includes(kind);
}

/** How many pods it will have, where their names are not known. */
function podCount({ pods, replicas, kind }: PlanMember): readonly string[] {
  if (pods.length > 0 || replicas === undefined) return [];
  return [`${counted(replicas, 'pod')}${isWorkload(kind) ? '' : ' that its operator makes'}`];
}

/** A few names. Those that differ in their last number only are shown as a range. */
function short(names: readonly string[]): string {
  const groups = groupBy(names, (one) => one.replace(/\d+$/, ''));
  const texts = [...groups.values()].flatMap((group) => {
    const [first = '', last = ''] = [group[0], group.at(-1)];
    return group.length > 2 ? [`${first} … ${last} (${group.length})`] : group;
  });
  if (texts.length <= SHOWN) return texts.join(', ');
  return `${texts.slice(0, SHOWN - 1).join(', ')} and ${texts.length - SHOWN + 1} more`;
}

function describeNotKept(all: readonly NotKept[], name: NameOf): string {
  const lines = all.flatMap(({ member, volume, why, declared }) => [
    ...block(
      `  ${name(member)}  `,
      `${volume}${declared === undefined ? '' : ` (declared: ${declared})`}`,
    ),
    ...block('      ', why),
  ]);
  return ['A restore does not bring back', ...lines].join('\n');
}

function describeProblem({ severity, code, object, message, fix }: PlanProblem): string {
  const head = `${severity.toUpperCase().padEnd(7)}  ${code}  `;
  return [
    ...block(head, object, 9),
    ...block('         ', message),
    ...(fix === undefined ? [] : block('         ', `Fix: ${fix}`)),
  ].join('\n');
}

/** Text after a head, wrapped under it. A head that leaves too little room gets its own line. */
function block(head: string, text: string, indent = head.length): readonly string[] {
  const far = indent > WIDTH / 2 || head.length > WIDTH / 2;
  const column = far ? 9 : indent;
  const lines = wrap(text, WIDTH - Math.max(column, far ? 0 : head.length));
  if (far && head.length + (lines[0]?.length ?? 0) > WIDTH) {
    return [head.trimEnd(), ...lines.map((line) => `${' '.repeat(column)}${line}`)];
  }
  return lines.map((line, at) => `${at === 0 ? head : ' '.repeat(column)}${line}`);
}

function summary(plan: Plan, source: string): string {
  const members = membersOf(plan);
  const pods = members.reduce((sum, one) => sum + one.pods.length, 0);
  const claims = new Set(
    members.flatMap((one) => backedUp(one).claims.map((claim) => `${one.namespace}/${claim}`)),
  );
  const counts = (['error', 'warning', 'info'] as const).flatMap((severity) => {
    const number = plan.problems.filter((one) => one.severity === severity).length;
    if (number === 0) return [];
    return [severity === 'info' ? `${number} info` : counted(number, severity)];
  });
  const found = counts.length === 0 ? 'No problems.' : `${counts.join(', ')}.`;
  const what = `${counted(members.length, 'member')} in ${counted(plan.layers.length, 'layer')}, ${counted(pods, 'pod')}, ${counted(claims.size, 'volume')}`;
  return wrap(`${plan.group}: ${what} (${source}). ${found}`, WIDTH).join('\n');
}
