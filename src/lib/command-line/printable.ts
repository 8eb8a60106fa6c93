/** A word of somebody else's, fit to be shown: no control characters, and not long. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?').slice(0, 60);
}

/** The same in quotes. */
export function quote(text: string): string {
  return JSON.stringify(printable(text));
}

/** Text without line breaks or control characters: a log takes it as one line. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
}
