/** A word of the caller's, made safe to print: without control characters, at most 60 characters. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?').slice(0, 60);
}

/** The same, in double quotes. */
export function quote(text: string): string {
  return JSON.stringify(printable(text));
}

/** Text on one line, for a log: line breaks and control characters become blanks. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
}
