/** One fact that the demo checks. */
export interface DemoCheck {
  readonly name: string;
  readonly ok: boolean;
  /** One sentence: the proven fact, or the fault. */
  readonly message: string;
}

/** Ends the demo: a check failed, and the next steps need it. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
  readonly check: string;

  constructor(check: string, message: string) {
    super(message);
    this.check = check;
  }
}

/** Collects checks. */
export class Checks {
  readonly list: DemoCheck[] = [];

  add(name: string, ok: boolean, message: string): boolean {
    this.list.push({ name, ok, message });
    return ok;
  }

  /** As `add`. @throws CheckFailed when the check failed. */
  require(name: string, ok: boolean, message: string): void {
    if (!this.add(name, ok, message)) throw new CheckFailed(name, message);
  }

  /** The first check that failed. */
  get failed(): DemoCheck | undefined {
    return this.list.find(({ ok }) => !ok);
  }
}
