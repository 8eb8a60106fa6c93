import { z } from 'zod';

const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);

/** How a copy made during the hold is restored. */
export const MODES = ['sealed', 'crash-consistent', 'staged', 'replica-paused', 'open'] as const;

/** `position` of a PostgreSQL receipt. LSNs are as the server prints them. */
export const positionSchema = z.object({
  /**
   * A restore must contain everything up to here: the end of the marker record on a primary, the
   * replayed position on a standby. In mode `open`: the start of the backup while it is held, its
   * end once it is thawed.
   */
  lsn,
  /**
   * The redo position of the freeze's checkpoint, where recovery starts. If there is a label, its
   * start.
   */
  startLsn: lsn,
  checkpointLsn: lsn,
  /** End of the backup record. `null` without a label, and in mode `open` until the thaw. */
  stopLsn: lsn.nullable(),
  /**
   * End of the marker record, a transactional logical message with prefix `quiesce` and the freeze's
   * id as content, committed and flushed before the freeze returned (mode `open`: just before the
   * backup was ended at thaw, and `null` until then); `null` on a standby.
   */
  markerLsn: lsn.nullable(),
  timeline: z.number().int().positive(),
  /** `pg_postmaster_start_time()`. The same value later means the same run of the server. */
  serverStartedAt: z.iso.datetime(),
  /** Paused replica only: what the freeze waited for. */
  replica: z
    .object({
      /** The primary's position as last reported when the freeze began. `lsn` is not before it. */
      primaryLsn: lsn,
      /** When the primary reported it, on the standby's clock. */
      reportedAt: z.string(),
      /** How long replay took to reach it, in milliseconds. */
      waitMs: z.number().nonnegative(),
    })
    .exactOptional(),
});

/** Mode `open`: one volume, and when to cut it. */
const volumeSchema = z.object({
  /** `data`, `wal`, `tablespace:NAME`. */
  holds: z.array(z.string()),
  /** Where the sidecar sees it. */
  paths: z.array(z.string()),
  cut: z.enum(['while-frozen', 'after-thaw']),
});
export type VolumeCut = z.infer<typeof volumeSchema>;

/** `restore` of a PostgreSQL receipt. */
export const restoreSchema = z.object({
  /**
   * PGDATA relative to QUIESCE_DATA_DIR (`.` where it is the same folder); `null` where PGDATA is
   * not mounted in the sidecar.
   */
  dataDirectory: z.string().nullable(),
  /**
   * Content of `backup_label`, which goes into PGDATA before the first start. A sealed copy of a
   * primary starts without it: it is cut after the end of the backup, and recovers as after a crash.
   * `null` in crash-consistent mode, and in mode `open` until the thaw.
   */
  backupLabel: z.string().nullable(),
  /** Content of `tablespace_map`; `null` if there is none. */
  tablespaceMap: z.string().nullable(),
  /** WAL that the copy must contain, as segment file names. */
  wal: z.object({
    segmentSize: z.number().int().positive(),
    first: z.string(),
    last: z.string(),
    /**
     * Mode `open`, after the thaw: how long the server keeps this WAL, so that its volume can be
     * cut.
     */
    keptUntil: z.string().exactOptional(),
  }),
  /** Names of all databases at the freeze. */
  databases: z.array(z.string()),
  /** Mode `staged`: the backup inside the copy, which already contains label and WAL. */
  staged: z
    .object({
      /** Its folder, relative to QUIESCE_DATA_DIR. */
      folder: z.string(),
      /** SHA-256 of its `manifest.json`, in hex. */
      manifest: z.string(),
      files: z.number(),
      bytes: z.number(),
      reflink: z.boolean(),
    })
    .exactOptional(),
  /**
   * Mode `open`: the order of the cuts, including `thaw`. Volumes in one list may be cut in any
   * order.
   */
  order: z.array(z.union([z.literal('thaw'), z.array(z.string())])).exactOptional(),
  /** Mode `open`. */
  volumes: z.array(volumeSchema).exactOptional(),
});

export type PostgresPosition = z.infer<typeof positionSchema>;
export type PostgresRestore = z.infer<typeof restoreSchema>;

/**
 * Names under `.quiesce/`. Never `backup_label`: a live server would take a file of that name for
 * its own.
 */
export const LABEL_FILE = 'postgres.backup_label';
export const TABLESPACE_MAP_FILE = 'postgres.tablespace_map';

/**
 * Mode `open`: the name under `.quiesce/` in the folder of each tablespace, while the backup is
 * open. A copy of a volume without this file was not cut while frozen.
 */
export const TABLESPACE_EVIDENCE_FILE = 'postgres.tablespace.json';
export const tablespaceEvidenceSchema = z.object({ id: z.string(), startLsn: lsn });

/** The prefix of the marker's logical message. */
export const MARKER_PREFIX = 'quiesce';

/**
 * `.quiesce/prepared.json`: what `prepare-restore` proved about the copy before any server ran on
 * it. The verification at start trusts it for the freeze with that `id`.
 */
export const preparedRecordSchema = z.object({
  id: z.string(),
  preparedAt: z.string(),
  systemIdentifier: z.string(),
  /** WAL was read record by record, with checksums, from here … */
  walFrom: lsn,
  /** … to here, the end of valid WAL in the copy. */
  walEnd: lsn,
  /**
   * How the proof shows that the copy contains what the receipt promises. `marker`: WAL contains
   * the marker record. `checkpoint`: a checkpoint of the same run of the server after the marker,
   * so the data files contain everything before it. `replay`, on a standby: WAL reaches the
   * replayed position.
   */
  coveredBy: z.enum(['marker', 'checkpoint', 'replay']),
});
export type PreparedRecord = z.infer<typeof preparedRecordSchema>;
