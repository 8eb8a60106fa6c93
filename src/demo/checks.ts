/** One thing the demo proves. */
export interface DemoCheck {
  readonly name: string;
  readonly ok: boolean;
  /** One sentence: what was proven, or what is wrong. */
  readonly message: string;
}

/** A check that did not hold and after which nothing further can be shown. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed';
  readonly check: string;

  constructor(check: string, message: string) {
    super(message);
    this.check = check;
  }
}

/** Collects checks; the first that fails names the outcome. */
export class Checks {
  readonly list: DemoCheck[] = [];

  add(name: string, ok: boolean, message: string): boolean {
    this.list.push({ name, ok, message });
    return ok;
  }

  /** As `add`, but goes no further where it does not hold. */
  require(name: string, ok: boolean, message: string): void {
    if (!this.add(name, ok, message)) throw new CheckFailed(name, message);
  }

  get failed(): DemoCheck | undefined {
    return this.list.find(({ ok }) => !ok);
  }
}
