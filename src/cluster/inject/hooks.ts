import { FREEZE_TIMEOUT_MS, HOOK_TIMEOUT_MS } from '../../defaults.ts';
import { CONTAINER } from '../objects/names.ts';

/** Something that was not done, or may not be what its author wants: an Event and a warning. */
export interface Notice {
  /** In CamelCase: the reason of the Event. */
  readonly code: string;
  readonly message: string;
}

export interface Hooks {
  /** Annotations to write; those of the user are never among them. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly notices: readonly Notice[];
}

type Annotations = Readonly<Record<string, string>>;
export type Phase = 'pre' | 'post';

/** What an exec takes to begin and to end around the freeze; at most this much is kept free. */
const MARGIN_MS = 5_000;
/** In the name of every annotation of a backup hook. */
export const BACKUP_HOOK = '.hook.backup.velero.io/';
export const VERBS = { pre: 'freeze', post: 'thaw' } as const;

/**
 * The Velero annotations beside the user's own. A freeze gives up before its hook does: a hook that
 * timed out is abandoned, not stopped, and would freeze later. Pre hook `Continue`, because after a
 * pre hook that failed with `Fail` Velero skips the post hook and with it the thaw; the thaw fails
 * where nothing was frozen.
 */
export function planHooks(user: Annotations, timeoutMs: number): Hooks {
  const foreign = (['pre', 'post'] as const).filter((phase) => isForeign(user, phase));
  if (foreign.length > 0) {
    const names = foreign.map((phase) => hookKey(phase, 'command')).join(' and ');
    const message = `${names}: the user's own stays, so no hook of quiesce was added, so Velero freezes nothing here`;
    return { annotations: {}, notices: [{ code: 'HooksNotAdded', message }] };
  }
  const plans = (['pre', 'post'] as const).map((phase) => planPhase(user, phase, timeoutMs));
  return {
    annotations: Object.assign({}, ...plans.map((plan) => plan.annotations)) as Annotations,
    notices: plans.flatMap((plan) => plan.notices),
  };
}

/** The annotation of one phase: `command`, `container`, `timeout`, `on-error`. */
export function hookKey(phase: Phase, name: string): string {
  return `${phase}${BACKUP_HOOK}${name}`;
}

/** A hook of the user's that is no call of ours; one that is may keep flags of its own. */
function isForeign(user: Annotations, phase: Phase): boolean {
  const command = user[hookKey(phase, 'command')];
  const container = user[hookKey(phase, 'container')];
  if (command === undefined) return container !== undefined && container !== CONTAINER;
  const [program, verb] = argv(command);
  const ours = isQuiesce(program) && verb === VERBS[phase];
  return !ours || (container !== undefined && container !== CONTAINER);
}

function planPhase(user: Annotations, phase: Phase, timeoutMs: number): Hooks {
  const notices: Notice[] = [];
  const given = user[hookKey(phase, 'timeout')];
  const read = given === undefined ? timeoutMs : parseGoDuration(given);
  if (read === undefined) {
    const message = `${hookKey(phase, 'timeout')} ${JSON.stringify(given)} is no duration that Velero can read: it waits 30s`;
    notices.push({ code: 'HookTimeoutUnreadable', message });
  }
  const limit = read ?? HOOK_TIMEOUT_MS;
  const command = user[hookKey(phase, 'command')];
  if (command !== undefined && phase === 'pre') notices.push(...contradiction(command, limit));
  const wanted = {
    [hookKey(phase, 'container')]: CONTAINER,
    [hookKey(phase, 'command')]: JSON.stringify(
      phase === 'pre'
        ? [CONTAINER, 'freeze', '--timeout', durationText(freezeTimeout(limit))]
        : [CONTAINER, 'thaw'],
    ),
    [hookKey(phase, 'timeout')]: durationText(limit),
    [hookKey(phase, 'on-error')]: phase === 'pre' ? 'Continue' : 'Fail',
  };
  const missing = Object.entries(wanted).filter(([name]) => user[name] === undefined);
  return { annotations: Object.fromEntries(missing), notices };
}

/** How long the freeze itself may take: a fifth less, at most five seconds less, than its hook. */
function freezeTimeout(hookMs: number): number {
  return hookMs - Math.min(MARGIN_MS, Math.max(500, Math.round(hookMs / 5)));
}

function contradiction(command: string, limit: number): readonly Notice[] {
  const words = argv(command);
  const at = words.findIndex((word) => word === '--timeout' || word.startsWith('--timeout='));
  const value = words[at]?.split('=')[1] ?? words[at + 1];
  const ms = at < 0 ? FREEZE_TIMEOUT_MS : parseGoDuration(value ?? '');
  if (ms !== undefined && ms < limit) return [];
  const message = `${hookKey('pre', 'command')} lets a freeze take as long as its hook or longer: Velero may give up first, and the freeze would come after`;
  return [{ code: 'HookTimeoutsContradict', message }];
}

/** Whether this word starts the program, by whatever path. */
export function isQuiesce(program: string | undefined): boolean {
  return /(?:^|\/)quiesce$/.test(program ?? '');
}

/** As Velero reads a command: a JSON array, or else one word. */
export function argv(command: string): readonly string[] {
  try {
    const parsed: unknown = JSON.parse(command);
    if (Array.isArray(parsed)) return parsed.map(String);
  } catch {
    // Not JSON.
  }
  return [command];
}

/** As Velero and the sidecar both read it. */
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

/** Go's time.ParseDuration, as Velero uses it; whole milliseconds, `undefined` where Go refuses. */
export function parseGoDuration(value: string): number | undefined {
  if (!/^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h)|\.\d+(?:ns|us|µs|ms|s|m|h))+$/.test(value))
    return undefined;
  let ms = 0;
  for (const [, number, unit] of value.matchAll(/(\d*\.?\d*)(ns|us|µs|ms|s|m|h)/g)) {
    ms += Number(number) * (GO_UNITS[unit ?? ''] ?? Number.NaN);
  }
  return Number.isFinite(ms) && ms >= 1 ? Math.round(ms) : undefined;
}
