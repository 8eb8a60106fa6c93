import type { Breach, JsonObject } from '../../../engine.ts';
import { StatedHold } from '../../../shared/stated-hold.ts';
import { parseLsn, walFileName } from '../../lsn.ts';
import type { PostgresPosition, PostgresRestore } from '../../receipt.ts';
import { compareRuns, readServer, type ServerFacts, toProbe } from '../../server.ts';
import type { Watch } from '../watch.ts';

export interface HoldFacts {
  readonly mode: 'sealed' | 'crash-consistent' | 'replica-paused';
  readonly server: ServerFacts;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

/**
 * A hold with nothing to release: everything is done when it is made, and no writer waits. It ends
 * with evidence that one run of one server went on throughout, and, where a label is part of the
 * promise, that the WAL segment where the label starts is still on disk, so it was there at the
 * cut.
 */
export class PostgresHold extends StatedHold {
  readonly #facts: HoldFacts;
  readonly #watch: Watch;

  constructor(facts: HoldFacts, watch: Watch, journal: JsonObject = {}) {
    super({ ...facts, server: toProbe(facts.server), writesBlocked: false, journal });
    this.#facts = facts;
    this.#watch = watch;
  }

  get lost(): AbortSignal {
    return this.#watch.lost;
  }

  async check(signal: AbortSignal): Promise<readonly Breach[]> {
    const session = await this.#watch.session(signal);
    const found = compareRuns(this.#facts.server, await readServer(session, signal));
    if (this.#facts.mode !== 'crash-consistent') {
      const { timeline, startLsn } = this.#facts.position;
      const segment = walFileName(timeline, parseLsn(startLsn), this.#facts.server.segmentSize);
      const [row] = await session.query<{ there: boolean }>(
        'SELECT EXISTS (SELECT FROM pg_catalog.pg_ls_waldir() WHERE name = $1) AS there',
        [segment],
        signal,
      );
      if (row?.there !== true) {
        found.push({
          code: 'wal-recycled',
          note: `The WAL segment ${segment}, where the label starts, was removed during the hold: a copy cut late may lack it. Give the role REPLICATION, so that a slot keeps the segment, or shorten the hold.`,
        });
      }
    }
    return found;
  }

  async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    await this.#watch.renew(ttlMs, signal);
  }

  async release(_signal: AbortSignal): Promise<void> {
    await this.#watch.stop();
  }
}
