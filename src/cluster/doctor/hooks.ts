import { FREEZE_TIMEOUT_MS } from '../../defaults.ts';
import { writeDuration } from '../../lib/duration.ts';
import { argv, hookKey, isQuiesce, type Phase } from '../inject/hooks.ts';
import type { Facts } from '../inventory/pod-facts.ts';

export const PHASES = ['pre', 'post'] as const;
/** How the two commands are written. */
export const GOOD = `command '["quiesce", "freeze", "--timeout", "${writeDuration(FREEZE_TIMEOUT_MS)}"]' and '["quiesce", "thaw"]'`;

/** The annotations of one hook, as they are written. */
export interface Hook {
  readonly phase: Phase;
  readonly command: string;
  readonly words: readonly string[];
  readonly container: string | undefined;
  readonly timeout: string | undefined;
  readonly onError: string | undefined;
  /** It starts quiesce, with whatever flags. */
  readonly ours: boolean;
}

function hookOf({ annotations }: Facts, phase: Phase): Hook | undefined {
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

/** `quiesce freeze --timeout 25s`, which Velero takes for the name of a program. */
export function isOneWord(command: string): boolean {
  return isQuiesce(command.split(/\s/)[0]) && argv(command).length === 1 && command.includes(' ');
}

export function hooksOf(facts: Facts): readonly Hook[] {
  return PHASES.map((phase) => hookOf(facts, phase)).filter((hook) => hook !== undefined);
}

/** Those of a pod that has a sidecar, and call it. */
export function ownHooks(facts: Facts): readonly Hook[] {
  return facts.sidecar === undefined ? [] : hooksOf(facts).filter(({ ours }) => ours);
}
