/** The labels of a series about snapshots. */
export interface SeriesLabels {
  readonly namespace: string;
  readonly group: string;
  readonly driver: string;
}

/** Groups of one namespace that have series of their own. A user may label snapshots with any text. */
export const MOST_GROUPS = 50;
/** The group of whatever is beyond them. */
export const OTHER_GROUP = '(other)';
/** The driver of a snapshot that ended before its class was known. */
export const UNKNOWN_DRIVER = 'unknown';

/** Bounds the groups of each namespace. */
export class Groups {
  readonly #known = new Map<string, Set<string>>();

  admit(namespace: string, group: string): string {
    const groups = this.#known.get(namespace) ?? new Set();
    this.#known.set(namespace, groups);
    if (groups.has(group)) return group;
    if (groups.size >= MOST_GROUPS) return OTHER_GROUP;
    groups.add(group);
    return group;
  }

  forget(namespace: string): void {
    this.#known.delete(namespace);
  }
}
