import type { CopyMethod } from '../../receipt/receipt.ts';
import { FILES_HOOK_TIMEOUT_MS, FREEZE_TIMEOUT_MS, HOOK_TIMEOUT_MS } from '../../defaults.ts';
import { type EngineName, entryOf } from '../../engines/names.ts';
import { CONTAINER } from '../objects/names.ts';

/** Something injection left out, or that may not be intended. Becomes an Event and a warning. */
export interface Notice {
  /** The reason of the Event, in CamelCase. */
  readonly code: string;
  readonly message: string;
}

export interface Hooks {
  /** Annotations to add. The user's own are never among them. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly notices: readonly Notice[];
}

type Annotations = Readonly<Record<string, string>>;
export type Phase = 'pre' | 'post';

/** The time reserved for an exec to begin and end around the freeze is at most this. */
const MAX_MARGIN_MS = 5_000;
/** Part of the name of every backup hook's annotations. */
export const BACKUP_HOOK = '.hook.backup.velero.io/';
export const VERBS = { pre: 'freeze', post: 'thaw' } as const;

/**
 * The Velero annotations to add to the user's own. The freeze times out before its hook does: Velero
 * abandons a late hook without stopping it, and the freeze would come afterwards. The pre hook's on-error
 * is `Continue`: after a failure with `Fail`, Velero skips the post hook and thus the thaw. The thaw then
 * fails if nothing was frozen.
 */
export function buildHooks(user: Annotations, timeouts: HookTimeouts, copy?: CopyMethod): Hooks {
  const otherHooks = (['pre', 'post'] as const).filter((phase) => hasOtherHook(user, phase));
  if (otherHooks.length > 0) {
    const unreadable = (['pre', 'post'] as const).flatMap((phase) =>
      unreadableTimeout(user, phase),
    );
    const names = otherHooks.map((phase) => hookKey(phase, 'command')).join(' and ');
    const message = `${names}: this pod already has its own hook, which is kept; no quiesce hook was added, so Velero will not freeze it`;
    return { annotations: {}, notices: [{ code: 'HooksNotAdded', message }, ...unreadable] };
  }
  const phases = (['pre', 'post'] as const).map((phase) =>
    buildPhase(user, phase, timeouts[phase], copy),
  );
  return {
    annotations: Object.assign({}, ...phases.map((hooks) => hooks.annotations)) as Annotations,
    notices: phases.flatMap((hooks) => hooks.notices),
  };
}

/** Velero's timeouts of both hooks, in milliseconds. */
export type HookTimeouts = Readonly<Record<Phase, number>>;

/** Whether a freeze for this copy method copies the data aside, which takes as long as there is data. */
export function copiesAside(engine: EngineName, copy: CopyMethod | undefined): boolean {
  return copy === 'files' && !entryOf(engine).blocksWrites;
}

/** A pod's own timeout for both, else the configured one, and more for a freeze that copies the data aside. */
export function hookTimeouts(
  own: number | undefined,
  configured: number,
  isSlow: boolean,
): HookTimeouts {
  const pre = isSlow ? Math.max(configured, FILES_HOOK_TIMEOUT_MS) : configured;
  return { pre: own ?? pre, post: own ?? configured };
}

function unreadableTimeout(user: Annotations, phase: Phase): readonly Notice[] {
  const given = user[hookKey(phase, 'timeout')];
  if (given === undefined || parseGoDuration(given) !== undefined) return [];
  const message = `${hookKey(phase, 'timeout')} ${JSON.stringify(given)} is not a duration that Velero can read, so Velero waits 30s`;
  return [{ code: 'HookTimeoutUnreadable', message }];
}

/** The name of a hook's annotation: `command`, `container`, `timeout` or `on-error`. */
export function hookKey(phase: Phase, name: string): string {
  return `${phase}${BACKUP_HOOK}${name}`;
}

/** Whether the user has a hook that does not call quiesce. One that does may keep its own flags. */
function hasOtherHook(user: Annotations, phase: Phase): boolean {
  const command = user[hookKey(phase, 'command')];
  const container = user[hookKey(phase, 'container')];
  if (command === undefined) return container !== undefined && container !== CONTAINER;
  const [program, verb] = argv(command);
  const ours = isQuiesce(program) && verb === VERBS[phase];
  return !ours || (container !== undefined && container !== CONTAINER);
}

/** Velero copies every volume before the thaw. That matters where there may be several. */
function freezeCommand(timeoutMs: number, copy: CopyMethod | undefined): readonly string[] {
  const order = copy === 'volumes' ? ['--thaw-last'] : [];
  return [CONTAINER, 'freeze', '--timeout', durationText(timeoutMs), ...order];
}

function buildPhase(
  user: Annotations,
  phase: Phase,
  timeoutMs: number,
  copy: CopyMethod | undefined,
): Hooks {
  const notices: Notice[] = [...unreadableTimeout(user, phase)];
  const given = user[hookKey(phase, 'timeout')];
  const read = given === undefined ? timeoutMs : parseGoDuration(given);
  const limit = read ?? HOOK_TIMEOUT_MS;
  const command = user[hookKey(phase, 'command')];
  if (command !== undefined && phase === 'pre') notices.push(...timeoutConflict(command, limit));
  const wanted = {
    [hookKey(phase, 'container')]: CONTAINER,
    [hookKey(phase, 'command')]: JSON.stringify(
      phase === 'pre' ? freezeCommand(freezeTimeout(limit), copy) : [CONTAINER, 'thaw'],
    ),
    [hookKey(phase, 'timeout')]: durationText(limit),
    [hookKey(phase, 'on-error')]: phase === 'pre' ? 'Continue' : 'Fail',
  };
  const missing = Object.entries(wanted).filter(([name]) => user[name] === undefined);
  return { annotations: Object.fromEntries(missing), notices };
}

/** The freeze's own timeout: a fifth shorter than its hook, by at least 0.5 s and at most 5 s. */
function freezeTimeout(hookMs: number): number {
  return hookMs - Math.min(MAX_MARGIN_MS, Math.max(500, Math.round(hookMs / 5)));
}

function timeoutConflict(command: string, limit: number): readonly Notice[] {
  const words = argv(command);
  const at = words.findIndex((word) => word === '--timeout' || word.startsWith('--timeout='));
  const value = words[at]?.split('=')[1] ?? words[at + 1];
  const ms = at < 0 ? FREEZE_TIMEOUT_MS : parseGoDuration(value ?? '');
  if (ms !== undefined && ms < limit) return [];
  const message = `${hookKey('pre', 'command')} gives the freeze at least as much time as its hook: Velero may give up first, and the freeze would come afterwards`;
  return [{ code: 'HookTimeoutsContradict', message }];
}

/** Whether this word of a command is quiesce, with or without a path. */
export function isQuiesce(program: string | undefined): boolean {
  return /(?:^|\/)quiesce$/.test(program ?? '');
}

/** The words of a command as Velero reads it: a JSON array, or else one word. */
export function argv(command: string): readonly string[] {
  try {
    const parsed: unknown = JSON.parse(command);
    if (Array.isArray(parsed)) return parsed.map(String);
  } catch {
    // Not JSON.
  }
  return [command];
}

/** A duration in a form that both Velero and the sidecar read. */
export function durationText(ms: number): string {
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}

const GO_UNITS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's time.ParseDuration, which Velero uses, in whole milliseconds; `undefined`: Go refuses, or it is below 1 ms. */
export function parseGoDuration(value: string): number | undefined {
  if (!/^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h)|\.\d+(?:ns|us|µs|ms|s|m|h))+$/.test(value))
    return undefined;
  let ms = 0;
  for (const [, number, unit] of value.matchAll(/(\d*\.?\d*)(ns|us|µs|ms|s|m|h)/g)) {
    ms += Number(number) * (GO_UNITS[unit ?? ''] ?? Number.NaN);
  }
  return Number.isFinite(ms) && ms >= 1 ? Math.round(ms) : undefined;
}
