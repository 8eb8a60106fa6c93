import { catalogue, type ErrorCode, QuiesceError } from '../../errors.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import { writeDuration } from '../../lib/duration.ts';
import { entryOf, isEngine } from '../../engines/names.ts';
import { listAt, textAt } from '../objects/kube-object.ts';
import { each } from '../api/objects.ts';
import type { RunProblem } from './document.ts';
import { nameOf, problemOf, type Target } from './group-freeze.ts';
import type { CutMember } from './scene.ts';
import type { PodCalls } from '../run/sidecar-ways.ts';
import { forbiddenTogether } from '../api/rights.ts';
import { type Sidecar, sidecarAt, SidecarFailure } from '../run/sidecars.ts';

/** A pod that will be frozen, and what its sidecar says of it. */
export interface ReadyTarget extends Target {
  readonly engine: string;
  /** Each commit that it acknowledges is on its disk. */
  readonly durable: boolean;
}

const STATUS_WITHIN_MS = 15_000;
const AT_ONCE = 100;

/** The sidecars of the members that are frozen. Calls none yet. */
export function targetsOf(pods: PodCalls, members: readonly CutMember[]): readonly Target[] {
  return members.flatMap(({ member, protection, pods: live }) => {
    if (protection !== 'sidecar') return [];
    const { namespace, kind, name } = member;
    return live.flatMap(({ name: pod, sidecar }): Target[] => {
      if (sidecar === undefined) return [];
      const place = { namespace, pod, container: sidecar.container, port: sidecar.port };
      return [
        {
          member: { namespace, kind, name },
          pod,
          sidecar: sidecarAt(pods, place),
          blocks: true,
          priority: rankOf(member.priority),
        },
      ];
    });
  });
}

/** `high`, `normal`, `low`, or a number. The higher goes first. */
function rankOf(priority: string): number {
  const words: Readonly<Record<string, number>> = { high: 1, normal: 0, low: -1 };
  return words[priority] ?? (Number(priority) || 0);
}

/** What a run will ask of its targets. */
interface Wanted {
  /** One group snapshot will hold all, so that it matters which commits are durable. */
  readonly grouped: boolean;
  readonly ttlMs?: number | undefined;
}

/**
 * Asks every sidecar whether it could freeze now.
 *
 * @throws QuiesceError MEMBER_HELD, MEMBER_NOT_READY, INVALID_FIELD, SIDECAR_UNREACHABLE, FORBIDDEN
 */
export async function readyTargets(
  targets: readonly Target[],
  wanted: Wanted,
  signal: AbortSignal,
): Promise<readonly ReadyTarget[]> {
  const asked = await each(targets, (one) => askOne(one, wanted, signal), AT_ONCE);
  signal.throwIfAborted();
  const failed = asked.flatMap((one) => ('problem' in one ? [one] : []));
  if (failed.length > 0) throw errorOf(failed);
  return asked.flatMap((one) => ('problem' in one ? [] : [one]));
}

interface NotReady {
  readonly problem: RunProblem;
  readonly error?: unknown;
}

async function askOne(
  target: Target,
  { grouped, ttlMs }: Wanted,
  signal: AbortSignal,
): Promise<ReadyTarget | NotReady> {
  const limit = abortedWithin(STATUS_WITHIN_MS, signal);
  try {
    const { state, lease, engine, ttlMaxMs } = await target.sidecar.status(limit);
    const named = nameOf(target);
    if (state !== 'thawed') {
      const whose = lease === null ? '' : ` by ${lease.id}, which ${lease.by} asked for`;
      return { problem: { code: 'MEMBER_HELD', message: `${named} is ${state}${whose}.` } };
    }
    if (ttlMs !== undefined && ttlMaxMs !== undefined && ttlMs > ttlMaxMs) {
      const message = `${named} allows a lease of at most ${writeDuration(ttlMaxMs)}, and --ttl is ${writeDuration(ttlMs)}.`;
      const hint = 'Lower --ttl, or raise QUIESCE_TTL_MAX of the sidecar.';
      return { problem: { code: 'INVALID_FIELD', message, hint } };
    }
    if (!engine.reachable) {
      const why = engine.message ?? 'the database does not answer';
      const message = `${named} cannot be frozen: ${why}`;
      return { problem: { code: 'MEMBER_NOT_READY', message } };
    }
    const entry = isEngine(engine.name) ? entryOf(engine.name) : undefined;
    const blocks = entry?.blocksWrites ?? true;
    const lost = entry?.commitsLostIf;
    const durable =
      grouped && !blocks && lost !== undefined && (await isDurable(target.sidecar, lost, limit));
    return { ...target, engine: engine.name, blocks, durable };
  } catch (error) {
    return { problem: problemOf(error, target, limit.aborted ? 'answer' : undefined), error };
  }
}

/** Without an answer it does not count as durable. */
async function isDurable(
  sidecar: Sidecar,
  lostIf: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const metadata = await sidecar.metadata(signal);
    if (!Array.isArray(metadata['warnings'])) return false;
    const codes = listAt(metadata, 'warnings').map((one) => textAt(one, 'code') ?? '');
    return !codes.some((code) => lostIf.includes(code));
  } catch {
    return false;
  }
}

const SHOWN = 10;

function errorOf(failed: readonly NotReady[]): QuiesceError {
  const refused = failed.flatMap(({ error }) => {
    const cause = error instanceof SidecarFailure ? error.cause : undefined;
    return cause instanceof QuiesceError && cause.code === 'FORBIDDEN' ? [cause] : [];
  });
  const all = failed.map(({ problem }) => problem);
  const first = all[0] as RunProblem;
  if (refused.length === failed.length) return forbiddenTogether(refused);
  const code = isCode(first.code) ? first.code : 'MEMBER_NOT_READY';
  const texts = all.slice(0, SHOWN).map(({ message }) => message);
  if (all.length > SHOWN) texts.push(`There are ${all.length - SHOWN} more.`);
  const { hint } = first;
  return new QuiesceError(code, texts.join(' '), {
    ...(hint !== undefined && { hint }),
    details: { problems: all },
  });
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(catalogue, code);
}
