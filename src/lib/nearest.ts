/** Levenshtein distance: how many letters must change, come or go. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [at, letter] of from.split('').entries()) {
    const next = [at + 1];
    for (let index = 1; index <= to.length; index++) {
      const changed = (row[index - 1] ?? 0) + (letter === to[index - 1] ? 0 : 1);
      next[index] = Math.min(changed, (row[index] ?? 0) + 1, (next[index - 1] ?? 0) + 1);
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** `Did you mean WORD? `, or nothing where no known word is near. */
export function didYouMean(word: string, known: readonly string[]): string {
  if (word.length > 60) return '';
  const near = known
    .map((one) => ({ one, away: distance(word, one) }))
    .filter(({ one, away }) => away <= (one.replace(/^-+/, '').length < 4 ? 1 : 2))
    .toSorted((a, b) => a.away - b.away)[0];
  return near === undefined ? '' : `Did you mean ${near.one}? `;
}
