const started = performance.now();

/** Prints a line of progress with the time since the start of this process, to stderr. */
export function say(text: string): void {
  const seconds = (performance.now() - started) / 1_000;
  process.stderr.write(`${seconds.toFixed(1).padStart(7)} s  ${text}\n`);
}
