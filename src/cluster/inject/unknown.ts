import { ANNOTATIONS, APPLICATION, INJECT_LABEL, isOurs } from '../objects/names.ts';

/** Whose typing error an unknown key is likely to be. */
export interface Unknown {
  readonly key: string;
  /** `undefined`: it resembles none. */
  readonly meant: string | undefined;
  /** It asks something of the sidecar, as far as can be told. */
  readonly concernsSidecar: boolean;
}

const SIDECAR: readonly string[] = Object.values(ANNOTATIONS).filter(
  (name) => name !== ANNOTATIONS.written,
);
const KNOWN = new Set<string>([
  ...Object.values(ANNOTATIONS),
  ...Object.values(APPLICATION),
  INJECT_LABEL,
]);
/** The words of which the names of the sidecar's annotations are made, and what stands for them. */
const WORDS = new Set([
  ...SIDECAR.flatMap((name) => bare(name).split('-')),
  'lease',
  'hooks',
  'credential',
  'secrets',
  'password',
]);

/**
 * What is under our prefix and not ours. What may be meant for the sidecar is told apart: left unread, a
 * mistyped `copy: files` would have a volume copied in a way for which the freeze promises nothing.
 */
export function unknownAnnotations(keys: readonly string[]): readonly Unknown[] {
  return keys
    .filter((key) => isOurs(key) && !KNOWN.has(key))
    .map((key) => {
      const meant = nearest(key);
      const words = bare(key).toLowerCase().split(/[-_.]/);
      const concernsSidecar =
        meant === undefined ? words.some((word) => WORDS.has(word)) : SIDECAR.includes(meant);
      return { key, meant, concernsSidecar };
    });
}

/** Does a sidecar's annotation stand here, were it mistyped? */
export function concernsSidecar(key: string): boolean {
  if (!isOurs(key)) return false;
  if (KNOWN.has(key)) return !(Object.values(APPLICATION) as readonly string[]).includes(key);
  return unknownAnnotations([key]).some((one) => one.concernsSidecar);
}

function nearest(key: string): string | undefined {
  const candidates = [...SIDECAR, ...Object.values(APPLICATION)]
    .map((name) => ({ name, distance: distance(plain(key), plain(name)) }))
    .filter(({ name, distance: far }) => far <= (plain(name).length > 5 ? 2 : 1))
    .toSorted((a, b) => a.distance - b.distance);
  return candidates[0]?.name;
}

function bare(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/** Capitals and separators are the first to be mistyped. */
function plain(name: string): string {
  return bare(name).toLowerCase().replaceAll(/[-_.]/g, '');
}

/** Letters added, left out, changed, or two exchanged (optimal string alignment). */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  const cost = (row: number, column: number): number =>
    rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j += 1) {
      const changed = cost(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        cost(i - 1, j) + 1,
        cost(i, j - 1) + 1,
        changed,
        exchanged ? cost(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
  }
  return cost(a.length, b.length);
}
