/** What users write, and what injection writes, on a pod. One prefix: unprefixed keys belong to users. */
const PREFIX = 'quiesce.dev/';

/** Opts a pod in, with the value `true`. */
export const INJECT_LABEL = `${PREFIX}inject`;

/** What the sidecar's pod asks of injection. One that cannot be followed keeps the sidecar out. */
export const ANNOTATIONS = {
  /** The engine; guessed from image and ports where it is not named, and then written down. */
  engine: `${PREFIX}engine`,
  /** The container of the database; as `engine`. */
  container: `${PREFIX}container`,
  /** A Secret in the pod's namespace, instead of the database's own environment. */
  credentialsSecret: `${PREFIX}credentials-secret`,
  /** QUIESCE_COPY. */
  copy: `${PREFIX}copy`,
  /** QUIESCE_TTL. */
  ttl: `${PREFIX}ttl`,
  /** Velero's timeout of both hooks; the freeze itself ends earlier. */
  hookTimeout: `${PREFIX}hook-timeout`,
  /** Written only: a JSON object of every annotation that injection wrote, with its value. */
  written: `${PREFIX}written`,
} as const;

/**
 * What is said of a workload as a part of its application, on the workload or its template. The sidecar
 * needs none of it: whatever their value, these never keep it out of a pod.
 */
export const APPLICATION = {
  group: `${PREFIX}group`,
  order: `${PREFIX}order`,
  priority: `${PREFIX}priority`,
  dependsOn: `${PREFIX}depends-on`,
  stage: `${PREFIX}stage`,
  state: `${PREFIX}state`,
  freeze: `${PREFIX}freeze`,
  verifySql: `${PREFIX}verify-sql`,
  verifyHttp: `${PREFIX}verify-http`,
} as const;

/** Names without our prefix that are read where the prefixed one is absent, and never written. */
export const ALIASES: Readonly<Record<string, string>> = {
  [APPLICATION.order]: 'backup.dependency.order',
  [APPLICATION.priority]: 'backup.recovery.priority',
};

export const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';
/** Velero puts it on everything it restores. */
export const RESTORE_LABEL = 'velero.io/restore-name';
/** Velero's file-system backup: volumes to copy file by file, and volumes never to copy so. */
export const FILE_BACKUP = 'backup.velero.io/backup-volumes';
export const FILE_BACKUP_EXCLUDES = 'backup.velero.io/backup-volumes-excludes';

export const CONTAINER = 'quiesce';
export const INIT_CONTAINER = 'quiesce-prepare-restore';
/** Name of the port with /metrics and /healthz. */
export const PORT = 'quiesce';
export const RUN_VOLUME = 'quiesce-run';
export const STATE_VOLUME = 'quiesce-state';

/** Is this annotation ours to understand? */
export function isOurs(key: string): boolean {
  return key.startsWith(PREFIX);
}

/** One annotation that cannot be followed. */
export interface FieldIssue {
  readonly field: string;
  readonly message: string;
}
