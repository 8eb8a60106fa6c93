import { QuiesceError } from '../../errors.ts';
import { pause } from '../../lib/deadline.ts';
import type { MemberRef } from '../plan/document.ts';
import { lookAtClaims } from '../restore/volumes/look.ts';
import type { Copy, CopyPlan } from './copies.ts';
import { lookAtCopies, type Seen } from './look.ts';
import { makeClaims, makeConfigs, makePods, makeScratch } from './make.ts';
import type { DrillMarks } from './marks.ts';
import { proveIsolation } from './probe.ts';
import { markVolumes } from './remove.ts';
import type { DrillParts } from './parts.ts';
import type { CopyResult } from './verdict.ts';

/** The result of each copy, with its member. */
export type Played = readonly (CopyResult & { readonly member: MemberRef })[];

export interface Watch {
  readonly deep: boolean;
  readonly isolated: boolean;
  readonly signal: AbortSignal;
  /** Milliseconds since the drill began, by a monotonic clock. */
  readonly sinceStart: () => number;
  readonly progress: (sentence: string) => void;
}

const LOOK_EVERY_MS = 1_000;
const AWAY_MS = 120_000;

/**
 * Makes the copies and waits until each is judged, or has failed. It resolves, too, when the signal ends it
 * after the pods were made: what was judged until then is a result.
 *
 * @throws QuiesceError where they could not be made, or one of them reached what it must not
 */
export async function playCopies(
  parts: DrillParts,
  plan: CopyPlan,
  marks: DrillMarks,
  watch: Watch,
): Promise<Played> {
  const { api, source } = parts;
  const { progress, signal } = watch;
  progress('making scratch namespaces');
  await makeScratch(api, source, plan, marks, signal);
  if (watch.isolated) await proveIsolation(api, plan, marks, progress, signal);
  progress(`making ${plan.volumes.length} volumes from snapshots`);
  await makeConfigs(api, source, plan, marks, signal);
  await makeClaims(api, plan, signal);
  await makePods(api, plan, signal);
  const watched = new Watched(plan, watch.sinceStart());
  const known = new Set<string>();
  const namespaces = [...plan.namespaces.values()];
  let answered = performance.now();
  while (!signal.aborted && watched.open.length > 0) {
    try {
      await markVolumes(api, { id: marks.id, namespaces, expires: marks.expires }, known);
      const about = { id: marks.id, namespaces, deep: watch.deep, wanted: watched.open };
      watched.take(await lookAtCopies(parts, about, signal), watch.sinceStart());
      answered = performance.now();
    } catch (error) {
      if (signal.aborted) break;
      const lost = error instanceof QuiesceError && error.code === 'CLUSTER_UNREACHABLE';
      if (!lost || performance.now() - answered > AWAY_MS) throw error;
    }
    progress(watched.waitingFor());
    if (watched.open.length > 0) await pause(LOOK_EVERY_MS, signal);
  }
  const sizes = await sizesIn(parts, marks.id, namespaces);
  return watched.results(sizes);
}

/** For the report only. */
async function sizesIn({ api }: DrillParts, id: string, namespaces: readonly string[]) {
  const claims = await lookAtClaims(api, { id, namespaces }).catch(() => []);
  return new Map(claims.map((one) => [`${one.namespace}/${one.claim}`, one.bytes ?? 0]));
}

interface Open {
  readonly copy: Copy;
  readonly createdMs: number;
  readyMs?: number;
  judgedMs?: number;
  seen?: Seen;
  failed?: { readonly code: string; readonly why: string };
}

class Watched {
  readonly #all: ReadonlyMap<string, Open>;

  constructor({ copies }: CopyPlan, now: number) {
    this.#all = new Map(copies.map((copy) => [keyOf(copy), { copy, createdMs: now }]));
  }

  /** Keys of the copies that are neither judged nor failed. */
  get open(): readonly string[] {
    return [...this.#all].flatMap(([key, { judgedMs, failed }]) =>
      judgedMs === undefined && failed === undefined ? [key] : [],
    );
  }

  /** @throws QuiesceError DRILL_NOT_ISOLATED */
  take(seen: ReadonlyMap<string, Seen>, now: number): void {
    for (const [key, one] of seen) {
      const open = this.#all.get(key);
      if (open === undefined) continue;
      open.seen = one;
      const { state, judged } = one;
      if (state.phase === 'not-isolated') {
        const text = `The pod ${key} was not isolated. ${state.why}`;
        throw new QuiesceError('DRILL_NOT_ISOLATED', text);
      }
      if (state.phase === 'failed') open.failed = { code: state.code, why: state.why };
      if (state.phase === 'running') open.readyMs ??= now;
      if (judged !== undefined) open.judgedMs = now;
    }
  }

  waitingFor(): string {
    const open = this.open.flatMap((key) => {
      const { seen, copy } = this.#all.get(key) ?? {};
      return copy === undefined ? [] : [`${copy.pod.metadata?.name}: ${seen?.doing ?? 'made'}`];
    });
    return open.length === 0 ? 'all data is judged' : open.slice(0, 3).join('; ').slice(0, 200);
  }

  results(sizes: ReadonlyMap<string, number>): Played {
    return [...this.#all.values()].map(({ copy, seen, failed, ...times }) => ({
      ...times,
      member: copy.member,
      pod: copy.pod.metadata?.name ?? '',
      notes: copy.notes,
      bytes: copy.claims.reduce(
        (sum, claim) => sum + (sizes.get(`${copy.pod.metadata?.namespace}/${claim}`) ?? 0),
        0,
      ),
      ...(seen?.judged !== undefined && { judged: seen.judged }),
      ...(failed !== undefined && { failed }),
      ...(seen !== undefined && { doing: seen.doing }),
    }));
  }
}

function keyOf({ pod }: Copy): string {
  return `${pod.metadata?.namespace ?? ''}/${pod.metadata?.name ?? ''}`;
}
