import { RESTORE } from '../restore/names.ts';
import { ANNOTATIONS, APPLICATION, INJECT_LABEL, hasQuiescePrefix } from '../objects/names.ts';

/** An unknown key with our prefix, and the annotation it was probably meant to be. */
export interface UnknownAnnotation {
  readonly key: string;
  /** `undefined`: it resembles no annotation. */
  readonly meant: string | undefined;
  /** Whether it was probably meant for the sidecar. */
  readonly concernsSidecar: boolean;
}

const SIDECAR_ANNOTATIONS: readonly string[] = Object.values(ANNOTATIONS).filter(
  (name) => name !== ANNOTATIONS.written,
);
/** A staged restore writes them on pods, and a backup brings them along. */
const OF_RESTORES = new Set<string>(Object.values(RESTORE));
const KNOWN = new Set<string>([
  ...Object.values(ANNOTATIONS),
  ...Object.values(APPLICATION),
  INJECT_LABEL,
]);
/** Words that are in the names of many other annotations, too. */
const COMMON = ['name', 'app', 'data', 'dir', 'log', 'level'];
/** The words in the names of the sidecar's annotations, and their synonyms. */
const WORDS = new Set([
  ...SIDECAR_ANNOTATIONS.flatMap((name) => withoutPrefix(name).split('-')).filter(
    (word) => !COMMON.includes(word),
  ),
  'lease',
  'hooks',
  'credential',
  'secrets',
  'password',
]);

/**
 * The unknown keys with our prefix. Those meant for the sidecar are marked, since they must not be ignored:
 * with a mistyped `copy: files`, a volume is copied in a way for which the freeze promises nothing.
 */
export function unknownAnnotations(keys: readonly string[]): readonly UnknownAnnotation[] {
  return keys
    .filter((key) => hasQuiescePrefix(key) && !KNOWN.has(key) && !OF_RESTORES.has(key))
    .map((key) => {
      const meant = nearest(key);
      const words = withoutPrefix(key).toLowerCase().split(/[-_.]/);
      const concernsSidecar =
        meant === undefined
          ? words.some((word) => WORDS.has(word))
          : SIDECAR_ANNOTATIONS.includes(meant);
      return { key, meant, concernsSidecar };
    });
}

/** Whether a key is an annotation for the sidecar, or a mistyped one. */
export function concernsSidecar(key: string): boolean {
  if (!hasQuiescePrefix(key) || OF_RESTORES.has(key)) return false;
  if (KNOWN.has(key)) return !(Object.values(APPLICATION) as readonly string[]).includes(key);
  return unknownAnnotations([key]).some((one) => one.concernsSidecar);
}

function nearest(key: string): string | undefined {
  const candidates = [...SIDECAR_ANNOTATIONS, ...Object.values(APPLICATION)]
    .map((name) => ({ name, distance: distance(withoutSeparators(key), withoutSeparators(name)) }))
    .filter(({ name, distance: far }) => far <= (withoutSeparators(name).length > 5 ? 2 : 1))
    .toSorted((a, b) => a.distance - b.distance);
  return candidates[0]?.name;
}

function withoutPrefix(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/** Ignores capitals and separators, the most frequent typing errors. */
function withoutSeparators(name: string): string {
  return withoutPrefix(name).toLowerCase().replaceAll(/[-_.]/g, '');
}

/** Counts letters added, omitted, changed, or swapped with a neighbour (optimal string alignment). */
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
