import { join } from 'node:path';
import { readRegular } from '../../../lib/regular-file.ts';
import { readControlFile } from '../data-dir/control-file.ts';
import { parseLsn } from '../lsn.ts';
import { WalEvidence } from './evidence.ts';
import { PAGE_MAGIC } from './format.ts';
import { printLsn, type WalLocation } from './segments.ts';
import { newestDescendant, timelineSpans } from './timeline.ts';
import { firstRecordIn, type WalkResult, walkWal } from './walk.ts';

/** The marker of one freeze, as its receipt describes it. */
export interface WantedMarker {
  /** The id of the freeze. */
  readonly id: string;
  readonly markerLsn: string;
  readonly startLsn: string;
  readonly timeline: number;
  /** Bytes. */
  readonly segmentSize: number;
  readonly systemIdentifier: string;
  /**
   * `pg_current_wal_flush_lsn()` (in recovery `pg_last_wal_replay_lsn()`) of the running server,
   * read before the call. Without it the walk must begin at `startLsn`: a file alone does not show
   * that the server's own WAL leads to it.
   */
  readonly serverLsn?: string;
  /** The timeline of the running server. Without it the files in `pg_wal` decide. */
  readonly serverTimeline?: number;
}

export interface MarkerProof {
  readonly found: boolean;
  /** One sentence: where it was found, or why not. */
  readonly detail: string;
  /** The WAL shows that the marker is not there. Otherwise a proof is only missing. */
  readonly contradicts?: boolean;
}

/**
 * Where the WAL of a data directory is and how it must look, for a server on `timeline` or a
 * descendant of it.
 */
export async function locateWal(
  pgdata: string,
  wanted: {
    readonly timeline: number;
    readonly systemIdentifier: string;
    readonly segmentSize: number;
    readonly serverTimeline?: number | undefined;
  },
): Promise<WalLocation> {
  const { systemIdentifier, segmentSize } = wanted;
  const major = Number.parseInt(await readRegular(join(pgdata, 'PG_VERSION')), 10);
  const magic = PAGE_MAGIC[major];
  if (magic === undefined) {
    throw new Error(`quiesce cannot read the WAL of PostgreSQL ${major}, only of 13 to 18`);
  }
  const newest = wanted.serverTimeline ?? (await newestDescendant(pgdata, wanted.timeline));
  const spans = await timelineSpans(pgdata, newest);
  const { walBlockSize: blockSize } = await readControlFile(pgdata);
  return { pgdata, systemIdentifier, segmentSize, blockSize, magic, spans };
}

/**
 * Looks for the committed marker of a freeze in this data directory's WAL. Reads only, so it may
 * run while the server runs. Walks from the freeze's start or, where that segment is gone, from the
 * first record of the marker's own segment.
 *
 * Rejects only with the system's errors and the signal's reason.
 */
export async function proveMarker(
  pgdata: string,
  wanted: WantedMarker,
  signal: AbortSignal,
): Promise<MarkerProof> {
  const marker = Number(parseLsn(wanted.markerLsn));
  if (wanted.serverLsn !== undefined && Number(parseLsn(wanted.serverLsn)) <= marker) {
    return notFound(
      `The server is at ${wanted.serverLsn}, not past the marker at ${wanted.markerLsn}.`,
      true,
    );
  }
  let location: WalLocation;
  try {
    location = await locateWal(pgdata, wanted);
  } catch (error) {
    return notFound(
      `The WAL cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
  const span = location.spans.find(({ timeline }) => timeline === wanted.timeline);
  if (!span || span.end <= marker) {
    return notFound(
      `The server is not on timeline ${wanted.timeline} at ${wanted.markerLsn}: it branched off before the marker.`,
      true,
    );
  }
  const fromStart = await walkTo(location, wanted, Number(parseLsn(wanted.startLsn)), signal);
  if (fromStart.proof.found || fromStart.result.records > 0 || wanted.serverLsn === undefined) {
    return fromStart.proof;
  }
  const first = await firstRecordIn(location, marker - 1, signal);
  if (first === undefined || first >= marker) return fromStart.proof;
  return (await walkTo(location, wanted, first, signal)).proof;
}

async function walkTo(
  location: WalLocation,
  wanted: WantedMarker,
  start: number,
  signal: AbortSignal,
): Promise<{ proof: MarkerProof; result: WalkResult }> {
  const lsn = Number(parseLsn(wanted.markerLsn));
  const evidence = new WalEvidence({
    marker: { id: wanted.id, lsn },
    backupStart: -1,
    checkpoint: -1,
    restartsAfter: Infinity,
  });
  const result = await walkWal(
    location,
    {
      start,
      visit: (record) => {
        evidence.see(record);
        return evidence.markerCommit !== null || (record.start >= lsn && !evidence.markerSeen);
      },
    },
    signal,
  );
  if (evidence.markerCommit !== null) {
    const commit = printLsn(evidence.markerCommit);
    const detail = `The marker ends at ${wanted.markerLsn} and its commit at ${commit}; WAL was read from ${printLsn(start)}, and every checksum matched.`;
    return { result, proof: { found: true, detail } };
  }
  if (evidence.markerSeen) {
    return { result, proof: notFound(`The marker's commit is missing: ${result.ended}.`) };
  }
  const replaced = result.endLsn > lsn;
  const why = replaced
    ? 'another record is in its place'
    : `valid WAL from ${printLsn(start)} ends before it, in ${result.ended}`;
  return {
    result,
    proof: notFound(`The marker at ${wanted.markerLsn} is not there: ${why}.`, replaced),
  };
}

function notFound(detail: string, contradicts = false): MarkerProof {
  return { found: false, detail, ...(contradicts ? { contradicts } : {}) };
}
