/** The events of one run, in order. Times are milliseconds since its start, on a monotonic clock. */
export class RunLog {
  readonly #begun = performance.now();
  readonly #lines: string[] = [];
  readonly #waiting = new Map<string, ((at: number) => void)[]>();
  readonly #reached = new Map<string, number[]>();

  get now(): number {
    return performance.now() - this.#begun;
  }

  note(text: string): void {
    this.#lines.push(`${this.now.toFixed(1).padStart(9)}  ${text}`);
  }

  /** Records that a step was reached, and runs the acts that wait for it before it returns. */
  step(name: string): void {
    this.note(`· ${name}`);
    this.#reached.set(name, [...(this.#reached.get(name) ?? []), this.now]);
    for (const act of this.#waiting.get(name)?.splice(0) ?? []) act(this.now);
  }

  /** When a step was first reached. */
  at(name: string): number | undefined {
    return this.#reached.get(name)?.[0];
  }

  /** All times at which a step was reached. */
  all(name: string): readonly number[] {
    return this.#reached.get(name) ?? [];
  }

  /** When a step was last reached before a moment. */
  lastAt(name: string, before: number): number | undefined {
    return this.#reached.get(name)?.findLast((at) => at < before);
  }

  /** Calls `act` when the step is reached the next time. */
  on(name: string, act: (at: number) => void): void {
    this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), act]);
  }

  get text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}
