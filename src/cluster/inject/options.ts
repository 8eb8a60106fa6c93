import { HOOK_TIMEOUT_MS } from '../../defaults.ts';
import type { RestoreCheckLevel } from '../../receipt/restore-level.ts';
import type { SidecarPatch } from './patch.ts';

/** Who chooses the user of the added containers if the pod sets none. */
export const USERS = ['image', 'platform'] as const;

/** The operator's settings for all pods. */
export interface InjectConfig {
  /** The image of the added containers. */
  readonly image: string;
  /** `undefined`: Kubernetes' default for the image. */
  readonly imagePullPolicy?: string | undefined;
  /** Secrets with which the kubelet pulls that image, added to those of the pod. */
  readonly imagePullSecrets?: readonly string[] | undefined;
  /** Velero's timeout of the hooks, in milliseconds, for pods without the annotation. */
  readonly hookTimeoutMs: number;
  /** QUIESCE_RESTORE_CHECK for pods without the annotation; `undefined`: the sidecar's default. */
  readonly restoreCheck?: RestoreCheckLevel | undefined;
  readonly cpuRequest: string;
  /** `undefined`: none, except where a pod or its namespace demands one. */
  readonly cpuLimit?: string | undefined;
  readonly memoryRequest: string;
  readonly memoryLimit: string;
  /** `platform`: none is written, as OpenShift's SCCs require. By default the one of the database's image. */
  readonly runAsUser?: (typeof USERS)[number] | undefined;
  /** What a cluster adds to the containers and to their pod. */
  readonly patch?: SidecarPatch | undefined;
  /** Add `prepare-restore` to every pod. By default only a restored pod gets it. */
  readonly prepareRestore?: boolean;
}

/** The requests fit every node. The memory limit is several times the measured need of a freeze. */
export const INJECT_DEFAULTS = {
  hookTimeoutMs: HOOK_TIMEOUT_MS,
  cpuRequest: '10m',
  memoryRequest: '64Mi',
  memoryLimit: '256Mi',
} as const satisfies Omit<InjectConfig, 'image'>;
