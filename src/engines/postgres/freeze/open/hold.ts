import { QuiesceError, toQuiesceError } from '../../../../errors.ts';
import { describeErrno } from '../../../../lib/durable-files.ts';
import { withDeadline } from '../../../../lib/deadline.ts';
import { NOT_REMOVED } from '../../../../receipt/receipt.ts';
import type { Breach, HoldEnd } from '../../../engine.ts';
import { StatedHold } from '../../../shared/stated-hold.ts';
import { stopBackup } from '../../backup/backup.ts';
import { parseLsn, walFileName } from '../../lsn.ts';
import { writeMarker } from '../../backup/marker.ts';
import type { PostgresPosition, PostgresRestore } from '../../receipt.ts';
import { readLabel } from '../../restore/receipt-claims.ts';
import { compareRuns, readServer, type ServerFacts, toProbe } from '../../server.ts';
import type { Session } from '../../connection/session.ts';
import { clearEvidence, inspectEvidence } from './tablespace-evidence.ts';
import type { Watch } from '../watch.ts';

/** How long the WAL of the backup is kept after the thaw, so that its volume can be cut. */
export const KEEP_WAL_MS = 60_000;
/** How long the release waits for the volumes of tablespaces: one that hangs may never answer. */
export const CLEAR_WITHIN_MS = 5_000;

export interface OpenFacts {
  readonly id: string;
  readonly server: ServerFacts;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
  readonly notes: readonly string[];
  /** Evidence files on the volumes of tablespaces. */
  readonly evidence: readonly string[];
  /** `OID location` of each tablespace, as {@link listTablespaces} gives them. */
  readonly tablespaces: readonly string[];
  /** Keeps a session, and so its slot, open for `ms`. */
  readonly keepSession: (session: Session, ms: number) => Promise<void>;
}

/**
 * A backup that stays open during the hold, in one session, which also has a temporary slot. No
 * writer waits. When the session ends, the backup is over and cannot be brought back: that is the
 * loss. The thaw ends the backup in the same session. What only the end reveals (label, tablespace
 * map, stop position) goes into the final receipt.
 */
export class OpenHold extends StatedHold {
  readonly #facts: OpenFacts;
  readonly #watch: Watch;
  /** The last check found that the hold held. Only then is the backup worth ending. */
  #proven = false;
  #end: HoldEnd | undefined;

  constructor(facts: OpenFacts, watch: Watch) {
    super({
      ...facts,
      mode: 'open',
      server: toProbe(facts.server),
      writesBlocked: false,
      reasons: [],
      journal: { evidence: [...facts.evidence] },
      needsReceipt: true,
    });
    this.#facts = facts;
    this.#watch = watch;
  }

  get lost(): AbortSignal {
    return this.#watch.lost;
  }

  async check(signal: AbortSignal): Promise<readonly Breach[]> {
    const session = await this.#watch.session(signal);
    const found = compareRuns(this.#facts.server, await readServer(session, signal));
    const { first } = this.#facts.restore.wal;
    const [row] = await session.query<{ there: boolean }>(
      'SELECT EXISTS (SELECT FROM pg_catalog.pg_ls_waldir() WHERE name = $1) AS there',
      [first],
      signal,
    );
    if (row?.there !== true) {
      found.push({
        code: 'wal-recycled',
        note: `The WAL segment ${first}, where the backup starts, is gone although a slot kept it (check max_slot_wal_keep_size).`,
      });
    }
    const spaces = await listTablespaces(session, signal);
    if (spaces.join('\n') !== this.#facts.tablespaces.join('\n')) {
      found.push({
        code: 'tablespaces-changed',
        note: 'A tablespace was created, moved or dropped during the freeze, so its volume is not in the order of the cuts.',
      });
    }
    const { id, evidence, position } = this.#facts;
    found.push(...(await inspectEvidence(evidence, { id, startLsn: position.startLsn })));
    this.#proven = found.length === 0;
    return found;
  }

  async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    await this.#watch.renew(ttlMs, signal);
  }

  /**
   * Ends the backup for its label if `check` found that the hold held. Otherwise only closes the
   * session, and the server then ends the backup. Removes the evidence on the volumes first.
   */
  async release(signal: AbortSignal): Promise<HoldEnd> {
    this.#end ??= await this.#finish(signal);
    return this.#end;
  }

  async #finish(signal: AbortSignal): Promise<HoldEnd> {
    const { evidence } = this.#facts;
    const left = await withDeadline(CLEAR_WITHIN_MS, clearEvidence(evidence)).catch(
      (error: unknown) => [`${evidence.join(', ')} could not be removed: ${describeErrno(error)}.`],
    );
    if (!this.#proven || left.length > 0) {
      await this.#watch.stop();
      return { breaches: left.map((note) => ({ code: NOT_REMOVED, note })) };
    }
    try {
      return { breaches: [], ...(await this.#stop(signal)) };
    } catch (error) {
      await this.#watch.stop();
      const { message } = toQuiesceError(error);
      const note = `The backup could not be ended in the session that began it, so it has no label: ${message}`;
      return { breaches: [{ code: 'backup-lost', note }] };
    }
  }

  async #stop(signal: AbortSignal): Promise<Pick<HoldEnd, 'position' | 'restore'>> {
    const { id, server, position, restore, keepSession } = this.#facts;
    const session = this.#watch.take();
    const markerLsn = await writeMarker(session, id, signal);
    const ended = await stopBackup(session, signal);
    const label = readLabel(ended.label);
    if (label?.start !== parseLsn(position.startLsn) || label.timeline !== position.timeline) {
      throw new QuiesceError('ENGINE_FAILED', 'The server returned the label of another backup.');
    }
    const last = walFileName(label.timeline, parseLsn(ended.lsn) - 1n, server.segmentSize);
    const keptUntil = new Date(Date.now() + KEEP_WAL_MS).toISOString();
    await keepSession(session, KEEP_WAL_MS);
    return {
      position: {
        lsn: ended.lsn,
        stopLsn: ended.lsn,
        markerLsn,
        checkpointLsn: /^CHECKPOINT LOCATION: (\S+)$/m.exec(ended.label)?.[1] ?? '',
      },
      restore: {
        backupLabel: ended.label,
        tablespaceMap: ended.map,
        wal: { ...restore.wal, last, keptUntil },
      },
    };
  }
}

/** `OID location` of every tablespace that is a link. */
export async function listTablespaces(session: Session, signal: AbortSignal): Promise<string[]> {
  const rows = await session.query<{ line: string }>(
    `SELECT oid::text || ' ' || pg_catalog.pg_tablespace_location(oid) AS line
       FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid`,
    [],
    signal,
  );
  return rows.map(({ line }) => line);
}
