import { writeTo } from '../lib/command-line/failure.ts';
import { oneLine } from '../lib/command-line/printable.ts';

/** Shorter work shows no progress. */
const QUIET_MS = 2_000;
const REDRAW_MS = 200;

/** A line on stderr that is redrawn, on a terminal only, for work that takes longer than two seconds. */
export class ProgressLine {
  readonly #begun = performance.now();
  #drawn = 0;

  say(sentence: string): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#begun < QUIET_MS || now - this.#drawn < REDRAW_MS) {
      return;
    }
    this.#drawn = now;
    writeTo(process.stderr, `\r\u001B[K${oneLine(sentence)} ...`);
  }

  end(): void {
    if (this.#drawn > 0) writeTo(process.stderr, '\r\u001B[K');
    this.#drawn = 0;
  }
}
