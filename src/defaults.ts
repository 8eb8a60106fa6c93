/**
 * Defaults and bounds shared by the shim, the sidecar's settings, the HTTP API, the injector, the
 * webhook, the doctor and the help texts. This file imports nothing, so that the shim loads fast.
 */

/** The folder of the control socket. The containers of a pod share it. */
export const RUN_DIR = '/run/quiesce';
/** Of the init container of a pod that a staged restore holds. */
export const HOLD_DIR = '/run/quiesce-hold';

/** `quiesce restore --layer-timeout`: a large database recovers for a while. */
export const LAYER_TIMEOUT_MS = 1_800_000;

/** QUIESCE_SOCKET. */
export const CONTROL_SOCKET = `${RUN_DIR}/control.sock`;

/** In bytes. `sun_path` on Linux holds 108, with the final zero. */
export const LONGEST_SOCKET_PATH = 107;

/** QUIESCE_STATE_DIR: journal and receipts. */
export const STATE_DIR = '/var/lib/quiesce';

/** Port of QUIESCE_CONTROL_ADDR, on loopback only: any client that reaches it can freeze the database. */
export const CONTROL_PORT = 8095;

/** QUIESCE_CONTROL_ADDR. */
export const CONTROL_ADDRESS = `127.0.0.1:${CONTROL_PORT}`;

/** Port of QUIESCE_METRICS_ADDR, for the sidecar and the webhook. */
export const METRICS_PORT = 9095;

/** QUIESCE_METRICS_ADDR: metrics and health, for Prometheus and the kubelet. */
export const METRICS_ADDRESS = `0.0.0.0:${METRICS_PORT}`;

/** QUIESCE_COPY: one volume, snapshotted atomically. */
export const COPY = 'snapshot';

/** From the most to say to nothing. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** QUIESCE_LOG_LEVEL, and the webhook's log level. */
export const LOG_LEVEL = 'info';

/** QUIESCE_TTL: the lease of a freeze during which writes continue, and of one that blocks them. */
export const TTL_MS = { flowing: 10 * 60_000, blocked: 60_000 } as const;

/** QUIESCE_TTL_MAX: the longest lease a caller may ask for. */
export const TTL_MAX_MS = 3_600_000;

/** QUIESCE_FREEZE_TIMEOUT. Leaves a hook enough time to start and end within Velero's own timeout. */
export const FREEZE_TIMEOUT_MS = 25_000;

/** Velero's timeout for a hook that sets none, or sets one that Velero cannot parse. */
export const HOOK_TIMEOUT_MS = 30_000;

/** Velero's timeout of the pre hook where the freeze copies the data aside first (copy: files). */
export const FILES_HOOK_TIMEOUT_MS = 15 * 60_000;

/** How long the deep check of a verification may take. */
export const DEEP_TIMEOUT_MS = 5 * 60_000;

/** Sets prepare-restore's --scan in an init container, whose command line the webhook writes. */
export const SCAN_VARIABLE = 'QUIESCE_RESTORE_SCAN';
/** How long prepare-restore looks at the pages of a copy. */
export const SCAN_MS = 60_000;
export const SCAN_FULL = 'full';

/** How long a daemon may take to stop: less than the 30 s after which the kubelet kills it. */
export const STOP_WITHIN_MS = 25_000;

/** The longest lease or timeout a caller may ask for. QUIESCE_TTL_MAX bounds leases further. */
export const LONGEST_MS = 24 * 3_600_000;

/** What a duration must be. Error messages put the name of the setting before it. */
export const DURATION_FORM = 'must be a duration with a unit, such as 500ms, 30s or 10m';
export const DURATION_TOO_SHORT = 'must be longer than zero';
export const DURATION_TOO_LONG = `must not be longer than ${LONGEST_MS / 3_600_000}h`;

/** The id of a freeze, and its form in words. */
export const ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/;
export const ID_FORM = '1–128 of A-Za-z0-9._:-';

/** The idempotency key of one call, which is sent as a header, and its form in words. */
export const KEY_PATTERN = /^[\u0021-\u007E]{1,255}$/;
export const KEY_FORM = '1–255 visible ASCII characters';

/** How many records of drills of one application are kept. */
export const DRILLS_KEPT = 30;
/** How long a drill may take, and how long after that nobody else removes what it made. */
export const DRILL_TIMEOUT_MS = 30 * 60_000;
export const DRILL_SPARE_MS = 3_600_000;
