/** A Lease as one look found it. */
export interface LeaseSeen {
  readonly version: string;
  readonly holder: string | undefined;
  /** How long its holder may give no sign of life. */
  readonly durationMs: number;
}

interface Sighting extends LeaseSeen {
  /** When a look first found this version. */
  readonly since: number;
  readonly dead: boolean;
}

const SHORTEST_MS = 5_000;
const LONGEST_MS = 300_000;

/**
 * Which runs are alive. A holder is judged by what changes between two looks, by one monotonic clock, and
 * never by the times in the Lease: clocks of two machines differ. At first sight it is alive. A look that
 * fails changes nothing: it says nothing about the holder.
 */
export class LeaseSightings {
  readonly #seen = new Map<string, Sighting>();

  /** @param lease `NAMESPACE/NAME` */
  note(lease: string, found: LeaseSeen | undefined, now: number): void {
    const before = this.#seen.get(lease);
    if (found === undefined) {
      this.#seen.set(lease, {
        version: '',
        holder: undefined,
        durationMs: 0,
        since: now,
        dead: true,
      });
      return;
    }
    const same = before?.version === found.version && before.holder === found.holder;
    const since = same ? before.since : now;
    const limit = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, found.durationMs));
    this.#seen.set(lease, { ...found, since, dead: now - since >= limit });
  }

  /** `undefined`: nobody has looked yet. */
  alive(lease: string, run: string): boolean | undefined {
    const seen = this.#seen.get(lease);
    return seen && !seen.dead && seen.holder === run;
  }

  /** Forgets all but these. */
  keep(leases: ReadonlySet<string>): void {
    for (const one of this.#seen.keys()) if (!leases.has(one)) this.#seen.delete(one);
  }
}
