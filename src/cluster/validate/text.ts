import { wrap } from '../../lib/command-line/flag-help.ts';
import { makePaint, type Paint } from '../../lib/command-line/paint.ts';
import { oneLine } from '../../lib/command-line/printable.ts';
import { refText } from '../objects/kube-object.ts';
import type { Link, ValidatedMember, ValidationProblem, ValidationRun } from './document.ts';

export interface Screen {
  readonly width?: number;
  readonly color?: boolean;
}

const MOST_MEMBERS = 40;
const MOST_PROBLEMS = 20;
const SENTENCES: Readonly<Record<ValidationRun['verdict'], string>> = {
  proven: 'is whole: its members are ready, and nothing is in doubt.',
  unproven: 'is whole as far as it was checked, but not proven.',
  failed: 'is not whole.',
};

/** A validation as one screen: the verdict, what is broken and why, then the members and their links. */
export function describeValidation(run: ValidationRun, screen: Screen = {}): string {
  const width = Math.min(120, Math.max(80, screen.width ?? 100));
  const paint = makePaint(screen.color === true);
  return [
    ...head(run, paint),
    ...problems(run.problems, width, paint),
    ...members(run, paint),
    ...links(run.links, paint),
    ...checks(run, paint),
  ].join('\n');
}

function head({ verdict, group, namespaces }: ValidationRun, paint: Paint): readonly string[] {
  const mark = { proven: '✔', unproven: '?', failed: '✘' }[verdict];
  const tint = { proven: paint.green, unproven: paint.cyan, failed: paint.red }[verdict];
  const where =
    namespaces.length === 1 && namespaces[0] === group ? '' : ` (${namespaces.join(', ')})`;
  return [
    `${tint(paint.bold(`${mark} ${verdict}`))}  ${oneLine(group)}${where} ${SENTENCES[verdict]}`,
  ];
}

const ORDER = ['error', 'warning', 'info'];

function problems(
  all: readonly ValidationProblem[],
  width: number,
  paint: Paint,
): readonly string[] {
  if (all.length === 0) return [];
  const sorted = all.toSorted((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  const lines = sorted
    .slice(0, MOST_PROBLEMS)
    .flatMap(({ code, severity, message, hint, object }) => {
      const tint =
        severity === 'error' ? paint.red : severity === 'warning' ? paint.cyan : paint.dim;
      return [
        `${tint(code)}  ${oneLine(object)}`,
        ...indented(message, width),
        ...(hint === undefined ? [] : indented(`→ ${hint}`, width)),
      ];
    });
  const more = all.length - MOST_PROBLEMS;
  return ['', ...lines, ...(more > 0 ? [`and ${more} more: -o json lists them`] : [])];
}

/** The last words of a container stand below one another. */
function indented(text: string, width: number): readonly string[] {
  const [before = '', words] = text.split(' Its last words: ');
  const said = words === undefined ? [] : words.replace(/\.$/, '').split(' ⏎ ');
  return [
    ...wrap(oneLine(before), width - 4).map((line) => `    ${line}`),
    ...said.map((line) => `      | ${oneLine(line).slice(0, width - 8)}`),
  ];
}

function members({ members: all }: ValidationRun, paint: Paint): readonly string[] {
  const rows = all.slice(0, MOST_MEMBERS).map((one) => {
    const mark = one.ready ? paint.green('✔') : paint.red('✘');
    return `  ${mark} ${refText(one).padEnd(42)} ${(one.engine ?? '').padEnd(10)} ${dataOf(one)}`.trimEnd();
  });
  const more = all.length - MOST_MEMBERS;
  return ['', paint.bold('Members'), ...rows, ...(more > 0 ? [`  and ${more} more`] : [])];
}

function dataOf({ level, receipts, onRecord }: ValidatedMember): string {
  if (level === undefined) return '';
  const of = receipts.length === 0 ? '' : ` of ${receipts.join(', ')}`;
  const known = onRecord !== undefined && onRecord.length > 0 ? ' (its snapshots are here)' : '';
  return `${level}${of}${known}`;
}

function links(all: readonly Link[], paint: Paint): readonly string[] {
  if (all.length === 0) return [];
  const rows = all.map(({ from, to, ok, how, message }) => {
    const mark = how === 'none' ? paint.cyan('?') : ok ? paint.green('✔') : paint.red('✘');
    return `  ${mark} ${from.kind}/${from.name} → ${oneLine(to)}: ${oneLine(message)}`;
  });
  return ['', paint.bold('Links'), ...rows];
}

function checks({ checks: all }: ValidationRun, paint: Paint): readonly string[] {
  if (all.length === 0) return [];
  const rows = all.map(({ member, kind, pod, ok, message }) => {
    const mark = ok === undefined ? paint.cyan('?') : ok ? paint.green('✔') : paint.red('✘');
    const of = pod === '' ? `${member.kind}/${member.name}` : pod;
    return `  ${mark} ${of} ${kind}: ${oneLine(message)}`;
  });
  return ['', paint.bold('Checks'), ...rows];
}
