import { z } from 'zod';

const opTime = z.string().regex(/^\d+:\d+:-?\d+$/);

/** The `position` in a receipt of this engine. */
export const positionSchema = z.object({
  /** The last write in the copy, `seconds:increment:term`; `null` for a server outside a set. */
  opTime: opTime.nullable(),
  /** The last write that a majority had when the freeze was in place; at least `opTime`. */
  majorityOpTime: opTime.nullable(),
  /** The primary's last write when the freeze was requested; at most `opTime`. */
  primaryOpTime: opTime.nullable(),
  /** `host:port` of the primary. */
  primary: z.string().nullable(),
  term: z.number().nullable(),
  /** Changes at each start of the server. */
  runId: z.string(),
  pid: z.number(),
  startedAt: z.string(),
  /** Number of locks on the server, including ours: always 1. */
  lockCount: z.number(),
  /** Operation id of the server's thread that holds the lock; `null`: the server shows none. */
  lockOpId: z.number().nullable(),
});
export type MongoPosition = z.infer<typeof positionSchema>;

/** The `restore` section in a receipt of this engine. */
export const restoreSchema = z.object({
  /** Path from QUIESCE_DATA_DIR to the server's dbPath; `null`: the data was not mounted. */
  dataDirectory: z.string().nullable(),
  storageEngine: z.string(),
  /** `null` for a server outside a set. */
  set: z
    .object({
      name: z.string(),
      replicaSetId: z.string(),
      members: z.array(
        z.object({ host: z.string(), state: z.string(), votes: z.number(), hidden: z.boolean() }),
      ),
    })
    .nullable(),
  /** The server belongs to a sharded cluster: this freeze covers only this server. */
  shard: z.boolean(),
  /** Documents per database, from the server's counters under the lock; `null`: not counted. */
  documents: z.record(z.string(), z.number()).nullable(),
  /** All databases except `local`. */
  databases: z.array(z.string()),
  /**
   * The digests of the files that stood still under the lock, on the volume, and the SHA-256 of that file;
   * `null`: the data was not mounted. Absent in receipts of earlier releases.
   */
  digests: z.object({ file: z.string(), sha256: z.string() }).nullable().default(null),
});
export type MongoRestore = z.infer<typeof restoreSchema>;
