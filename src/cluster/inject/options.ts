import { HOOK_TIMEOUT_MS } from '../../defaults.ts';

/** What the operator of the webhook decides for all pods. */
export interface InjectConfig {
  /** The image of the containers that are added. */
  readonly image: string;
  /** `undefined`: the cluster's own rule. */
  readonly imagePullPolicy?: string | undefined;
  /** Velero's timeout of the hooks, in milliseconds, where the pod names none. */
  readonly hookTimeoutMs: number;
  readonly cpuRequest: string;
  readonly memoryRequest: string;
  readonly memoryLimit: string;
}

/** Small enough for every node; the limit is several times what a freeze was measured to need. */
export const INJECT_DEFAULTS = {
  hookTimeoutMs: HOOK_TIMEOUT_MS,
  cpuRequest: '10m',
  memoryRequest: '64Mi',
  memoryLimit: '256Mi',
} as const satisfies Omit<InjectConfig, 'image'>;
