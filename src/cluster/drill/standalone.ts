import type { EngineName } from '../../engines/names.ts';
import { profileOf } from '../../engines/profiles.ts';
import type { Container } from '../objects/pod.ts';

/**
 * A copy of one member that keeps to itself. The network policy is what guarantees it; its flags keep the copy
 * from trying. `shell`: what runs is a script, to which nothing can be added from outside.
 */
export interface Standalone {
  readonly container: Container;
  readonly shell: boolean;
}

const SHELL = /(?:^|\/)(?:ba|da|a|z)?sh$/;

export function standalone(engine: EngineName, container: Container): Standalone {
  const words = [...(container.command ?? []), ...(container.args ?? [])];
  const shell = words.some((word) => SHELL.test(word)) && words.includes('-c');
  const { alone } = profileOf(engine);
  return { container: shell || alone === undefined ? container : alone(container), shell };
}
