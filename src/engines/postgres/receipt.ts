import { z } from 'zod';

const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);

/** How a copy made during the hold is restored. */
export const MODES = ['sealed', 'crash-consistent', 'staged', 'replica-paused'] as const;

/** `position` of a PostgreSQL receipt. LSNs are as the server prints them. */
export const positionSchema = z.object({
  /** A restore must contain everything up to here: the end of the marker record on a primary, the replayed position on a standby. */
  lsn,
  /** The redo position of the freeze's checkpoint: recovery starts here. Start of the label, where there is one. */
  startLsn: lsn,
  checkpointLsn: lsn,
  /** End of the backup record; `null` without a label. */
  stopLsn: lsn.nullable(),
  /**
   * End of the marker record, a transactional logical message with prefix `quiesce` and the freeze's
   * id as content, committed and flushed before the freeze returned; `null` on a standby.
   */
  markerLsn: lsn.nullable(),
  timeline: z.number().int().positive(),
  /** `pg_postmaster_start_time()`: the same value at a later look is the same run of the server. */
  serverStartedAt: z.string(),
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

/** `restore` of a PostgreSQL receipt. */
export const restoreSchema = z.object({
  /** PGDATA relative to QUIESCE_DATA_DIR (`.` where it is the same); `null` where it is not mounted. */
  dataDirectory: z.string().nullable(),
  /** Content of `backup_label`, to be put into PGDATA before the first start; `null` in crash-consistent mode. */
  backupLabel: z.string().nullable(),
  /** Content of `tablespace_map`; `null` where there is none. */
  tablespaceMap: z.string().nullable(),
  /** WAL that must be in the copy, as segment file names. */
  wal: z.object({ segmentSize: z.number().int().positive(), first: z.string(), last: z.string() }),
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
});

export type PostgresPosition = z.infer<typeof positionSchema>;
export type PostgresRestore = z.infer<typeof restoreSchema>;

/** Names under `.quiesce/`: never `backup_label` itself, which a live server would take for its own. */
export const LABEL_FILE = 'postgres.backup_label';
export const TABLESPACE_MAP_FILE = 'postgres.tablespace_map';

/** The logical message prefix of the marker. */
export const MARKER_PREFIX = 'quiesce';

/**
 * `.quiesce/prepared.json`: what `prepare-restore` proved on the copy before any server ran on it.
 * The verification at start trusts it for the id it names.
 */
export const preparedSchema = z.object({
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
export type Prepared = z.infer<typeof preparedSchema>;
