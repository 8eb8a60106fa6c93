/** The Levenshtein distance: how many letters must be added, removed or changed. */
export function distance(from: string, to: string): number {
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

/** `Did you mean WORD? ` with its trailing space, or an empty text when no known word is close. */
export function didYouMean(word: string, known: readonly string[]): string {
  if (word.length > 60) return '';
  const near = known
    .map((one) => ({ one, away: distance(word, one) }))
    .filter(({ one, away }) => away <= (one.replace(/^-+/, '').length < 4 ? 1 : 2))
    .toSorted((a, b) => a.away - b.away)[0];
  return near === undefined ? '' : `Did you mean ${near.one}? `;
}
