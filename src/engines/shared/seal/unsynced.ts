import { describeErrno } from '../../../lib/durable-files.ts';
import { LIMITS } from './limits.ts';

const EXPLAINED = 3;
const count = (n: number): string => n.toLocaleString('en');

/** The files that may not be on the disk: the first ones by name, the others by number. */
export class Unsynced {
  readonly #limit: number;
  readonly #names = new Map<string, string>();
  #total = 0;
  /** Set where a listing ended early: more files than the number may be missing. */
  #rest: string | undefined;

  constructor(limit = LIMITS.named) {
    this.#limit = limit;
  }

  /** @param why an error, or a phrase */
  add(name: string, why: unknown): void {
    if (this.#names.has(name)) return;
    this.#total += 1;
    if (this.#names.size >= this.#limit) return;
    this.#names.set(name, typeof why === 'string' ? why : describeErrno(why));
  }

  /** @param why completes "… and more, because …" */
  addRest(why: string): void {
    this.#rest ??= why;
  }

  /** Adds what another look found, as far as it has a name. */
  addNamed(other: Unsynced): void {
    for (const [name, why] of other.#names) this.add(name, why);
  }

  get none(): boolean {
    return this.#total === 0 && this.#rest === undefined;
  }

  /** For the receipt. */
  get list(): readonly string[] {
    const more = this.#total - this.#names.size;
    const last = [
      ...(more > 0 ? [`… and ${count(more)} more`] : []),
      ...(this.#rest === undefined ? [] : [`… and more: ${this.#rest}`]),
    ];
    return [...this.#names.keys(), ...last];
  }

  /** One sentence for the receipt. */
  get note(): string {
    const explained = [...this.#names].slice(0, EXPLAINED).map(([name, why]) => `${name} (${why})`);
    const more = this.#total - explained.length;
    if (more > 0) explained.push(`${count(more)} more`);
    if (this.#rest !== undefined) explained.push(`an unknown number (${this.#rest})`);
    return `Files outside of the database may not be on the disk in a snapshot: ${explained.join(', ')}.`;
  }
}
