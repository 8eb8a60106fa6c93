/** A word of the caller's, made safe to print: without control characters, at most 60 characters. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?').slice(0, 60);
}

/** The same, in double quotes. */
export function quote(text: string): string {
  return JSON.stringify(printable(text));
}

/**
 * Text of others on one line: line breaks and control characters become blanks, and what turns the direction
 * of reading or is no character a question mark.
 */
export function oneLine(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .replaceAll(/\p{C}/gu, '?');
}

/** Text of several lines, which stay. */
export function printableLines(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{C}/gu, '?');
}

/** A document whose texts may all be shown to people. */
export function plainly<T>(value: T): T {
  if (typeof value === 'string') return oneLine(value) as T;
  if (Array.isArray(value)) return value.map((one: unknown) => plainly(one)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, one]) => [oneLine(key), plainly<unknown>(one)]);
  return Object.fromEntries(fields) as T;
}
