import { FREEZE_TIMEOUT_MS } from '../../defaults.ts';
import { writeDuration } from '../../lib/duration.ts';
import { argv, hookKey, isQuiesce, type Phase } from '../inject/hooks.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';

export const PHASES = ['pre', 'post'] as const;
/** The two commands as they should be, for the text of a fix. */
export const CORRECT_COMMANDS = `command '["quiesce", "freeze", "--timeout", "${writeDuration(FREEZE_TIMEOUT_MS)}"]' and '["quiesce", "thaw"]'`;

/** The annotations of one hook. */
export interface HookAnnotations {
  readonly phase: Phase;
  readonly command: string;
  readonly words: readonly string[];
  readonly container: string | undefined;
  readonly timeout: string | undefined;
  readonly onError: string | undefined;
  /** The command runs quiesce, with any flags. */
  readonly ours: boolean;
}

function hookOf({ annotations }: PodFacts, phase: Phase): HookAnnotations | undefined {
  const command = annotations[hookKey(phase, 'command')];
  if (command === undefined) return undefined;
  const words = argv(command);
  return {
    phase,
    command,
    words,
    container: annotations[hookKey(phase, 'container')],
    timeout: annotations[hookKey(phase, 'timeout')],
    onError: annotations[hookKey(phase, 'on-error')],
    ours: isQuiesce(words[0]) || isOneWord(command),
  };
}

/** Whether the command is plain text such as `quiesce freeze --timeout 25s`, which Velero runs as one word. */
export function isOneWord(command: string): boolean {
  return isQuiesce(command.split(/\s/)[0]) && isUnreadable(command);
}

/** Whether the command of any hook has several words, or brackets, and is no JSON array. */
export function isUnreadable(command: string): boolean {
  const words = argv(command);
  return words.length === 1 && words[0] === command && /\s|^\[/.test(command.trim());
}

export function hooksOf(facts: PodFacts): readonly HookAnnotations[] {
  return PHASES.map((phase) => hookOf(facts, phase)).filter((hook) => hook !== undefined);
}

/** The hooks that run quiesce, if the pod has a sidecar. */
export function ownHooks(facts: PodFacts): readonly HookAnnotations[] {
  return facts.sidecar === undefined ? [] : hooksOf(facts).filter(({ ours }) => ours);
}
