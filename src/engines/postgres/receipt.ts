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
  /** The redo position of the freeze's checkpoint: recovery starts here. Start of the label, where there is one. */
  startLsn: lsn,
  checkpointLsn: lsn,
  /** End of the backup record; `null` without a label, and in mode `open` until the thaw. */
  stopLsn: lsn.nullable(),
  /**
   * End of the marker record, a transactional logical message with prefix `quiesce` and the freeze's
   * id as content, committed and flushed before the freeze returned (mode `open`: just before the
   * backup was ended at thaw, and `null` until then); `null` on a standby.
   */
  markerLsn: lsn.nullable(),
  timeline: z.number().int().positive(),
  /** `pg_postmaster_start_time()`: the same value at a later look is the same run of the server. */
  serverStartedAt: z.iso.datetime(),
  /** Of a paused replica: what it was waited for. */
  replica: z
    .object({
      /** The primary's position as it had last reported it when the freeze began: `lsn` is not before it. */
      primaryLsn: lsn,
      /** When it reported it, on the standby's clock. */
      reportedAt: z.string(),
      /** How long replay took to get there, in milliseconds. */
      waitMs: z.number().nonnegative(),
    })
    .exactOptional(),
});

/** Mode `open`: one volume and when it must be cut. */
const volumeSchema = z.object({
  /** `data`, `wal`, `tablespace:NAME`. */
  holds: z.array(z.string()),
  /** Where it was seen by the sidecar. */
  paths: z.array(z.string()),
  cut: z.enum(['while-frozen', 'after-thaw']),
});
export type VolumeCut = z.infer<typeof volumeSchema>;

/** `restore` of a PostgreSQL receipt. */
export const restoreSchema = z.object({
  /** PGDATA relative to QUIESCE_DATA_DIR (`.` where it is the same); `null` where it is not mounted. */
  dataDirectory: z.string().nullable(),
  /** Content of `backup_label`, to be put into PGDATA before the first start; `null` in crash-consistent mode, and in mode `open` until the thaw. */
  backupLabel: z.string().nullable(),
  /** Content of `tablespace_map`; `null` where there is none. */
  tablespaceMap: z.string().nullable(),
  /** WAL that must be in the copy, as segment file names. */
  wal: z.object({
    segmentSize: z.number().int().positive(),
    first: z.string(),
    last: z.string(),
    /** Mode `open`, after the thaw: until when the server keeps this WAL for the cut of its volume. */
    keptUntil: z.string().exactOptional(),
  }),
  /** Names of the databases at the freeze. */
  databases: z.array(z.string()),
  /** Mode `staged`: the backup within the copy, in which label and WAL lie already. */
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
  /** Mode `open`: the order of the cuts, `thaw` among them; what stands in one list may be cut in any order. */
  order: z.array(z.union([z.literal('thaw'), z.array(z.string())])).exactOptional(),
  /** Mode `open`. */
  volumes: z.array(volumeSchema).exactOptional(),
});

export type PostgresPosition = z.infer<typeof positionSchema>;
export type PostgresRestore = z.infer<typeof restoreSchema>;

/** Names under `.quiesce/`: never `backup_label` itself, which a live server would take for its own. */
export const LABEL_FILE = 'postgres.backup_label';
export const TABLESPACE_MAP_FILE = 'postgres.tablespace_map';

/**
 * Mode `open`: `.quiesce/` in the folder of each tablespace, while the backup is open. A copy of a
 * volume without it was not cut while frozen.
 */
export const TABLESPACE_EVIDENCE_FILE = 'postgres.tablespace.json';
export const tablespaceEvidenceSchema = z.object({ id: z.string(), startLsn: lsn });

/** The logical message prefix of the marker. */
export const MARKER_PREFIX = 'quiesce';

/**
 * `.quiesce/prepared.json`: what `prepare-restore` proved on the copy before any server ran on it.
 * The verification at start trusts it for the id it names.
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
   * What shows that the promise is in the copy: the marker record among them; a checkpoint of the
   * same run of the server behind the marker, with which the data files hold all before it; or, on a
   * standby, WAL to the replayed position.
   */
  coveredBy: z.enum(['marker', 'checkpoint', 'replay']),
});
export type PreparedRecord = z.infer<typeof preparedRecordSchema>;
