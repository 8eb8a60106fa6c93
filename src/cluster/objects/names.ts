/** The prefix of every label and annotation of quiesce. Keys without it belong to users. */
const PREFIX = 'quiesce.dev/';

/** Opts a pod in, with the value `true`. */
export const INJECT_LABEL = `${PREFIX}inject`;

/** Annotations that configure the sidecar of a pod. If one is invalid, the pod gets no sidecar. */
export const ANNOTATIONS = {
  /** The engine. Injection guesses it from image and ports if it is absent, and writes the guess here. */
  engine: `${PREFIX}engine`,
  /** The container of the database. Guessed and written like `engine`. */
  container: `${PREFIX}container`,
  /** A Secret in the pod's namespace that replaces the credentials in the database's environment. */
  credentialsSecret: `${PREFIX}credentials-secret`,
  /** QUIESCE_COPY. */
  copy: `${PREFIX}copy`,
  /** QUIESCE_TTL. */
  ttl: `${PREFIX}ttl`,
  /** Velero's timeout of both hooks. The freeze's own timeout is shorter. */
  hookTimeout: `${PREFIX}hook-timeout`,
  /** QUIESCE_RESTORE_CHECK. */
  restoreCheck: `${PREFIX}restore-check`,
  /** `true`: a restored volume without a receipt keeps its database from starting. */
  restoreRequiresReceipt: `${PREFIX}restore-requires-receipt`,
  /** The restore that brought the volume back, where Velero's label does not name it. */
  restoreName: `${PREFIX}restore-name`,
  /** QUIESCE_RESTORE_SCAN of the init container. */
  restoreScan: `${PREFIX}restore-scan`,
  /** QUIESCE_REPLICA. */
  replica: `${PREFIX}replica`,
  /** QUIESCE_DATA_DIR, where the guess is wrong. */
  dataDir: `${PREFIX}data-dir`,
  /** QUIESCE_APP. */
  app: `${PREFIX}app`,
  /** QUIESCE_LOG_LEVEL. */
  logLevel: `${PREFIX}log-level`,
  /** Written by injection only: a JSON object with every annotation it wrote, and its value. */
  written: `${PREFIX}written`,
} as const;

/**
 * Annotations that describe a workload as part of its application, on the workload or its pod template.
 * The sidecar needs none of them, so an invalid value never keeps it out of a pod.
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

/** Names without our prefix. They are read if the prefixed name is absent, and never written. */
export const ALIASES: Readonly<Record<string, string>> = {
  [APPLICATION.order]: 'backup.dependency.order',
  [APPLICATION.priority]: 'backup.recovery.priority',
};

export const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container';
/** Velero sets this label on every object it restores. */
export const RESTORE_LABEL = 'velero.io/restore-name';
/** The same for a volume that came back in another way. Set by whoever restores, to a new name each time. */
export const RESTORE_ANNOTATION = ANNOTATIONS.restoreName;
/** Velero's file-system backup: the volumes it copies file by file, and the volumes it must not. */
export const FILE_BACKUP = 'backup.velero.io/backup-volumes';
export const FILE_BACKUP_EXCLUDES = 'backup.velero.io/backup-volumes-excludes';

export const CONTAINER = 'quiesce';
export const INIT_CONTAINER = 'quiesce-prepare-restore';
/** The name of the port that serves /metrics and /healthz. */
export const PORT = 'quiesce';
export const RUN_VOLUME = 'quiesce-run';
export const STATE_VOLUME = 'quiesce-state';
/** In a pod that a staged restore holds: a file with the annotation that ends it. */
export const HOLD_VOLUME = 'quiesce-hold';

export function hasQuiescePrefix(key: string): boolean {
  return key.startsWith(PREFIX);
}

/** A problem of one annotation. The message continues the name: `must be one of …`. */
export interface FieldIssue {
  readonly field: string;
  readonly message: string;
}
