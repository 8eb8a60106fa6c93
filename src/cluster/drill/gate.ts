import { writeDuration } from '../../lib/duration.ts';
import type { Container } from '../objects/pod.ts';

/** What a copy must not reach, as `HOST:PORT`. The API server is always among them. */
export interface GateTargets {
  readonly addresses: readonly string[];
  /** How long nothing may be reached. */
  readonly forMs: number;
  /** Until when that must be so: an engine of network policies learns of a pod a moment later. */
  readonly withinMs: number;
}

/** How long nothing may be reached; and an engine of network policies may be slow on a busy node. */
export const GATE = { forMs: 2_000, withinMs: 45_000 };
export const GATE_CONTAINER = 'quiesce-isolated';
/** Exit code of `quiesce isolated` where something was reached. */
export const REACHED_EXIT = 5;
const MOST_ADDRESSES = 40;

/** The first container of each copy: nothing else starts in the pod before it has found that it reaches nobody. */
export function isolationGate(prepared: Container, targets: GateTargets): Container {
  const { image, imagePullPolicy, securityContext, resources } = prepared;
  return {
    name: GATE_CONTAINER,
    ...(image !== undefined && { image }),
    ...(imagePullPolicy !== undefined && { imagePullPolicy }),
    args: gateArgs(targets),
    ...(securityContext !== undefined && { securityContext }),
    ...(resources !== undefined && { resources }),
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

export function gateArgs({ addresses, forMs, withinMs }: GateTargets): readonly string[] {
  return [
    'isolated',
    '--for',
    writeDuration(forMs),
    '--within',
    writeDuration(withinMs),
    ...addresses.slice(0, MOST_ADDRESSES),
  ];
}
