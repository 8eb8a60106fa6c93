import { QuiesceError, toQuiesceError } from '../../../errors.ts';
import { unlessAborted } from '../../../lib/deadline.ts';
import type { Breach, JsonObject } from '../../engine.ts';
import { StatedHold } from '../../shared/stated-hold.ts';
import { ANSWER_WITHIN_MS, Looks, RECONNECT_TRIES } from '../../shared/watch.ts';
import { type Evidence, readEvidence } from './commands.ts';
import { compare, compareData, compareLink, type Differences, loadingBreach } from './evidence.ts';
import type { ServerFiles, SyncedFile } from '../data-dir/synced-files.ts';
import type { ReconnectingSession } from '../connection/reconnecting.ts';
import type { WritePause } from './write-pause.ts';
import { type ServerFacts, toProbe } from '../server.ts';
import { isServerGone } from '../connection/session.ts';
import {
  type SettingChanges,
  changesJournal,
  readChanged,
  type ServerSettings,
} from './config-changes.ts';
import { undoChanges } from './recover.ts';

export interface HoldFacts {
  readonly mode: 'paused-fsynced' | 'paused-saved';
  /** The server when everything was on the disk: no counter may have moved since. */
  readonly server: Evidence;
  /** The server's files; `null` where the volume is not mounted here. */
  readonly files: ServerFiles | null;
  readonly synced: readonly SyncedFile[];
  readonly changes: SettingChanges;
  readonly position: JsonObject;
  readonly restore: JsonObject;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Writers are paused and every acknowledged write is on the disk. The pause outlives the connection and
 * this process, and ends by itself shortly after the lease. The server is asked immediately, and then
 * every second, whether anything changed.
 */
export class RedisHold extends StatedHold {
  readonly #facts: HoldFacts;
  readonly #connection: ReconnectingSession;
  readonly #writePause: WritePause;
  readonly #looks: Looks;
  /** The changed settings at the last look. */
  #found: ServerSettings | undefined;

  constructor(facts: HoldFacts, connection: ReconnectingSession, writePause: WritePause) {
    const { server } = facts;
    super({
      ...facts,
      server: toProbe(server),
      writesBlocked: server.role === 'primary',
      journal: changesJournal(facts.changes),
    });
    this.#facts = facts;
    this.#connection = connection;
    this.#writePause = writePause;
    this.#looks = new Looks({
      // Not aborted by the release: an aborted look closes the connection.
      look: () => this.#look(AbortSignal.timeout(ANSWER_WITHIN_MS)),
      failed: (error, failures) =>
        isServerGone(error) && failures >= RECONNECT_TRIES
          ? serverLost(toQuiesceError(error).message)
          : [],
    });
  }

  get lost(): AbortSignal {
    return this.#looks.lost;
  }

  async check(signal: AbortSignal): Promise<readonly Breach[]> {
    const expired = this.#writePause.expired;
    const server = await this.#lastLook(signal).catch((error: unknown) => {
      if (isServerGone(error)) return null;
      throw error;
    });
    if (!server) return serverLost('nothing listens at its address any more');
    const found = compare(this.#facts.server, server);
    if (found.length === 0) found.push(...(await unlessAborted(this.#unmoved(server), signal)));
    if (found.length === 0) found.push(...compareData(this.#facts.server, server));
    if (expired && found.length === 0) {
      found.push({
        code: 'pause-expired',
        note: 'The pause of writers expired before the thaw.',
      });
    }
    return found;
  }

  /** Checks what no counter shows: whether the files on the disk are still the ones made durable. */
  async #unmoved(server: ServerFacts): Promise<Differences> {
    const { files, synced } = this.#facts;
    if (!files) return server.role === 'replica' ? compareLink(this.#facts.server, server) : [];
    if (await files.areStill(synced)) return [];
    const names = synced.map(({ name }) => name).join(', ');
    return [
      {
        code: 'files-replaced',
        note: `Some of the files ${names} are no longer those of the freeze: a save or another process replaced them, or the primary synchronized this replica again.`,
      },
    ];
  }

  async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    if (this.#writePause.expired) {
      throw new QuiesceError(
        'ENGINE_FAILED',
        'The pause of writers has already expired, so it cannot be renewed without a gap.',
      );
    }
    await this.#connection.run(signal, (session) => this.#writePause.pause(session, ttlMs, signal));
  }

  async release(signal: AbortSignal): Promise<void> {
    // Not awaited: the server may never answer the current look.
    void this.#looks.stop();
    const found = this.#found;
    // Use it only while it is fresh: a retry reads the settings again.
    this.#found = undefined;
    try {
      const paused = !this.#writePause.expired;
      await this.#connection.run(signal, (session) =>
        undoChanges(session, this.#facts.changes, paused, signal, found),
      );
    } catch (error) {
      // The process is gone, and with it the pause and every changed setting.
      if (!isServerGone(error)) throw error;
    }
    this.#connection.close();
  }

  /** Also reads the settings that the release will restore, in the same round trip: writers are waiting. */
  async #lastLook(signal: AbortSignal): Promise<Evidence> {
    return await this.#connection.run(signal, async (session) => {
      const reading = readChanged(session, this.#facts.changes, signal).catch(() => undefined);
      const server = await readEvidence(session, signal);
      this.#found = await reading;
      return server;
    });
  }

  async #look(signal: AbortSignal): Promise<Differences> {
    const then = this.#facts.server;
    return await this.#connection.run(signal, async (session) => {
      try {
        return compare(then, await readEvidence(session, signal));
      } catch (error) {
        if (toQuiesceError(error).code !== 'ENGINE_STARTING') throw error;
        return loadingBreach(session.runId === then.runId);
      }
    });
  }
}

function serverLost(why: string): readonly Breach[] {
  return [{ code: 'server-lost', note: `The server is gone: ${why}` }];
}
