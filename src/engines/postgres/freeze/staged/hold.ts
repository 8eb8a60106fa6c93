import type { Breach } from '../../../engine.ts';
import { StatedHold } from '../../../shared/stated-hold.ts';
import type { PostgresPosition, PostgresRestore } from '../../receipt.ts';
import { type ServerFacts, toProbe } from '../../server.ts';
import { removeStaging } from './folder.ts';
import { compareStaged, type Manifest } from './manifest.ts';

interface StagedFacts {
  readonly server: ServerFacts;
  readonly position: PostgresPosition;
  readonly restore: PostgresRestore;
  readonly notes: readonly string[];
  readonly folder: string;
  readonly manifest: Manifest;
}

/**
 * A staged backup, complete on the volume. Nothing is held in the server, so nothing that happens
 * to the server breaks this hold. It is broken only if the staged files are not all there at its
 * end.
 */
export class StagedHold extends StatedHold {
  readonly lost = new AbortController().signal;
  readonly #facts: StagedFacts;

  constructor(facts: StagedFacts) {
    super({
      ...facts,
      mode: 'staged',
      server: toProbe(facts.server),
      writesBlocked: false,
      reasons: [],
      journal: { staged: facts.restore.staged?.folder ?? null },
      needsReceipt: true,
    });
    this.#facts = facts;
  }

  async check(signal: AbortSignal): Promise<readonly Breach[]> {
    const { folder, manifest } = this.#facts;
    const difference = await compareStaged(folder, manifest, false, signal);
    if (difference === null) return [];
    const note = `The staged backup changed during the hold: ${difference}.`;
    return [{ code: 'staged-changed', note }];
  }

  /** Does not stop a big removal half way. */
  async release(): Promise<void> {
    await removeStaging(this.#facts.folder);
  }
}
