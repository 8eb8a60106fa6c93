import type { Breach, Hold, JsonObject } from '../engines/engine.ts';
import type { CopyMethod } from '../receipt/receipt.ts';
import type { Receipt } from '../receipt/receipt.ts';
import type { RestoreMark } from '../receipt/restore-mark.ts';

interface BlankFacts {
  readonly engine: { readonly name: string };
  readonly copy: CopyMethod;
  readonly app: string | undefined;
  readonly restoreMark?: RestoreMark;
}

/** The receipt of a freeze that was requested and is not in place yet. */
export function blankReceipt(id: string, deps: BlankFacts): Receipt {
  return {
    apiVersion: 'quiesce.dev/v1',
    kind: 'Receipt',
    id,
    ...(deps.app === undefined ? {} : { app: deps.app }),
    engine: { name: deps.engine.name, version: null, role: null, identity: {} },
    mode: null,
    copy: deps.copy,
    writesBlocked: false,
    requestedAt: new Date().toISOString(),
    frozenAt: null,
    expiresAt: null,
    thawedAt: null,
    durationsMs: { prepare: null, freeze: null, held: null, thaw: null },
    position: null,
    restore: null,
    evidence: { onVolume: false, detail: 'The hold was never in place.' },
    ...(deps.restoreMark === undefined ? {} : { restoreMark: deps.restoreMark }),
    verdict: 'inconsistent',
    reasons: [],
    notes: [],
  };
}

export interface HeldFacts {
  readonly ttlMs: number;
  readonly prepareMs: number;
  readonly freezeMs: number;
  readonly evidence: Receipt['evidence'];
  /** In addition to those of the hold. */
  readonly notes: readonly string[];
}

/** The receipt once the hold is in place. */
export function heldReceipt(blank: Receipt, hold: Hold, facts: HeldFacts): Receipt {
  const at = Date.now();
  return {
    ...blank,
    engine: { name: blank.engine.name, ...hold.server, identity: { ...hold.server.identity } },
    mode: hold.mode,
    writesBlocked: hold.writesBlocked,
    frozenAt: new Date(at).toISOString(),
    expiresAt: new Date(at + facts.ttlMs).toISOString(),
    durationsMs: {
      ...blank.durationsMs,
      prepare: round(facts.prepareMs),
      freeze: round(facts.freezeMs),
    },
    position: { ...hold.position } as Receipt['position'],
    restore: { ...hold.restore } as Receipt['restore'],
    evidence: facts.evidence,
    ...(hold.unsynced === undefined ? {} : { unsynced: [...hold.unsynced] }),
    verdict: 'held',
    reasons: [...hold.reasons],
    notes: [...hold.notes, ...facts.notes],
  };
}

export interface EndFacts {
  readonly verdict: 'consistent' | 'inconsistent';
  readonly breaches: readonly Breach[];
  readonly thawedBy: string | undefined;
  readonly heldMs: number | null;
  readonly thawMs: number;
  readonly position: JsonObject | undefined;
  readonly restore: JsonObject | undefined;
}

/** The final receipt. */
export function endedReceipt(receipt: Receipt, facts: EndFacts): Receipt {
  return {
    ...receipt,
    thawedAt: new Date().toISOString(),
    ...(facts.thawedBy === undefined ? {} : { thawedBy: facts.thawedBy }),
    durationsMs: {
      ...receipt.durationsMs,
      held: facts.heldMs === null ? null : round(facts.heldMs),
      thaw: round(facts.thawMs),
    },
    position: merged(receipt.position, facts.position),
    restore: merged(receipt.restore, facts.restore),
    verdict: facts.verdict,
    reasons: [...receipt.reasons, ...facts.breaches.map(({ code }) => code)],
    notes: [...receipt.notes, ...facts.breaches.map(({ note }) => note)],
  };
}

function merged(known: Receipt['position'], more: JsonObject | undefined): Receipt['position'] {
  return known === null || more === undefined
    ? known
    : ({ ...known, ...more } as Receipt['position']);
}

/** To a tenth of a millisecond: the clock is no more precise. */
function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
