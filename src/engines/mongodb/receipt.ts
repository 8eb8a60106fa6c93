import { z } from 'zod';

const opTime = z.string().regex(/^\d+:\d+:-?\d+$/);

/** The `position` of a receipt of this engine. */
export const positionSchema = z.object({
  /** Last write in the copy, `seconds:increment:term`; `null` for a server without a set. */
  opTime: opTime.nullable(),
  /** What a majority had when the freeze was in place; at least `opTime`. */
  majorityOpTime: opTime.nullable(),
  /** What the primary had written when the freeze was asked for; at most `opTime`. */
  primaryOpTime: opTime.nullable(),
  /** `host:port` of the primary. */
  primary: z.string().nullable(),
  term: z.number().nullable(),
  /** Made anew at each start of the server. */
  runId: z.string(),
  pid: z.number(),
  startedAt: z.string(),
  /** Locks on the server with ours: 1. */
  lockCount: z.number(),
  /** Of the server's thread that holds the lock; `null`: it shows none. */
  lockOpId: z.number().nullable(),
});
export type MongoPosition = z.infer<typeof positionSchema>;

/** The `restore` section of a receipt of this engine. */
export const restoreSchema = z.object({
  /** From QUIESCE_DATA_DIR to the server's dbPath; `null`: the data was not mounted. */
  dataDirectory: z.string().nullable(),
  storageEngine: z.string(),
  /** `null` for a server without a set. */
  set: z
    .object({
      name: z.string(),
      replicaSetId: z.string(),
      members: z.array(
        z.object({ host: z.string(), state: z.string(), votes: z.number(), hidden: z.boolean() }),
      ),
    })
    .nullable(),
  /** The server belongs to a sharded cluster: this freeze speaks of it alone. */
  shard: z.boolean(),
  /** Documents by database, by the server's own counters, under the lock; `null`: not counted. */
  documents: z.record(z.string(), z.number()).nullable(),
  /** All but `local`. */
  databases: z.array(z.string()),
});
export type MongoRestore = z.infer<typeof restoreSchema>;
