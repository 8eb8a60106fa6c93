import { groupBy } from '../../lib/group-by.ts';
import { redactLine } from '../../lib/redact.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, textAt } from '../objects/kube-object.ts';

/** An Event, as far as people need it. */
export interface Happened {
  readonly reason: string;
  readonly message: string;
  readonly warning: boolean;
  /** Milliseconds since the epoch, by the clock of who reported it. */
  readonly at: number;
  /** How often it was reported. */
  readonly count: number;
}

/** The Events of a cluster, by the object that they are about. */
export class Events {
  readonly #byUid: Map<string, KubeObject[]>;

  constructor(catalog: Catalog) {
    this.#byUid = groupBy(
      catalog.all('Event'),
      (one) => textAt(one, 'involvedObject', 'uid') ?? '',
    );
  }

  /** Those about this very object, not an earlier one of its name; the newest first. */
  of(object: KubeObject): readonly Happened[] {
    const uid = object.metadata?.uid;
    if (uid === undefined) return [];
    return (this.#byUid.get(uid) ?? []).map(happened).toSorted((a, b) => b.at - a.at);
  }

  latest(object: KubeObject, reasons: RegExp, words?: RegExp): Happened | undefined {
    return this.of(object).find(
      ({ reason, message }) => reasons.test(reason) && (words === undefined || words.test(message)),
    );
  }
}

export function happened(event: KubeObject): Happened {
  const times = [
    textAt(event, 'series', 'lastObservedTime'),
    textAt(event, 'lastTimestamp'),
    textAt(event, 'eventTime'),
    textAt(event, 'firstTimestamp'),
    textAt(event, 'metadata', 'creationTimestamp'),
  ];
  const count = at(event, 'series', 'count') ?? at(event, 'count');
  return {
    reason: textAt(event, 'reason') ?? '',
    message: redactLine(textAt(event, 'message') ?? '', 600),
    warning: textAt(event, 'type') !== 'Normal',
    at: Date.parse(times.find((one) => one !== undefined && one !== '') ?? '') || 0,
    count: typeof count === 'number' ? count : 1,
  };
}
