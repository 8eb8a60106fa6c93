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
  /** As the server was when all was on the disk: nothing may have moved since. */
  readonly server: Evidence;
  /** Its files on the disk, where they are seen here. */
  readonly files: ServerFiles | null;
  readonly synced: readonly SyncedFile[];
  readonly changes: SettingChanges;
  readonly position: JsonObject;
  readonly restore: JsonObject;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Writers are paused and what they were promised is on the disk. The pause outlives connection and
 * process, and ends by itself with the lease. At once, and then each second, the server is asked
 * whether anything moved.
 */
export class RedisHold extends StatedHold {
  readonly #facts: HoldFacts;
  readonly #connection: ReconnectingSession;
  readonly #writePause: WritePause;
  readonly #looks: Looks;
  /** The settings as they were at the last look. */
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
      // Not ended by the release: a look that is given up takes the connection with it.
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
    if (!server) return serverLost('nothing listens there any more');
    const found = compare(this.#facts.server, server);
    if (found.length === 0) found.push(...(await unlessAborted(this.#unmoved(server), signal)));
    if (found.length === 0) found.push(...compareData(this.#facts.server, server));
    if (expired && found.length === 0) {
      found.push({
        code: 'pause-expired',
        note: 'The time for which the server was told to pause writers had run out before the thaw.',
      });
    }
    return found;
  }

  /** What no counter tells: whether what was made durable is still what lies on the disk. */
  async #unmoved(server: ServerFacts): Promise<Differences> {
    const { files, synced } = this.#facts;
    if (!files) return server.role === 'replica' ? compareLink(this.#facts.server, server) : [];
    if (await files.areStill(synced)) return [];
    const names = synced.map(({ name }) => name).join(', ');
    return [
      {
        code: 'files-replaced',
        note: `Of the files ${names} not all are those of the freeze any more: somebody saved or put others in their place, or a primary filled its replica anew.`,
      },
    ];
  }

  async renew(ttlMs: number, signal: AbortSignal): Promise<void> {
    if (this.#writePause.expired) {
      throw new QuiesceError(
        'ENGINE_FAILED',
        'The pause of writers has run out already: it cannot be renewed without a gap.',
      );
    }
    await this.#connection.run(signal, (session) => this.#writePause.pause(session, ttlMs, signal));
  }

  async release(signal: AbortSignal): Promise<void> {
    // Not waited for: it may be the one that the server does not answer.
    void this.#looks.stop();
    const found = this.#found;
    // Only as long as it is fresh: a further try reads again.
    this.#found = undefined;
    try {
      const paused = !this.#writePause.expired;
      await this.#connection.run(signal, (session) =>
        undoChanges(session, this.#facts.changes, paused, signal, found),
      );
    } catch (error) {
      // Its process is gone, and with it the pause and every setting that was changed.
      if (!isServerGone(error)) throw error;
    }
    this.#connection.close();
  }

  /** With the settings that the release is to put back: writers wait for either, so in one round trip. */
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
