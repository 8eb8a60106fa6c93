import type { Logger } from 'pino';
import type { Difference, Engine } from '../engines/engine.ts';
import { describeErrno } from '../lib/durable-files.ts';
import { abortedWithin, unlessAborted } from '../lib/deadline.ts';
import type { MetadataDocument } from '../receipt/metadata-document.ts';
import type { ReceiptVolume } from '../receipt/volume.ts';
import { keepRestoredMetadata, readMetadataOf } from '../receipt/volume-metadata.ts';

/** The time for both the volume and the database. A difference is information: nothing waits for it longer. */
const WITHIN_MS = 10_000;

interface Deps {
  readonly engine: Engine;
  readonly volume: ReceiptVolume;
}

/**
 * In what the running server differs from the one that was copied, by the metadata that the copy carries.
 *
 * @returns `null` where the server does not describe itself. Never rejects.
 */
export async function findDifferences(
  { engine, volume }: Deps,
  id: string,
  signal: AbortSignal,
): Promise<readonly Difference[] | null> {
  const bounded = abortedWithin(WITHIN_MS, signal);
  try {
    const was = await metadataOf(volume, id, bounded);
    const { metadata } = await engine.copyMetadata(WITHIN_MS / 2, bounded);
    return engine.differences(was === null ? null : was.metadata, metadata);
  } catch {
    return null;
  }
}

/** What the copy of this freeze says of its server; `null` also where the volume does not answer. */
export async function metadataOf(
  volume: ReceiptVolume,
  id: string,
  signal: AbortSignal,
): Promise<MetadataDocument | null> {
  return await unlessAborted(readMetadataOf(volume, id), signal).catch(() => null);
}

/** Keeps the metadata of a copy beyond its receipt. It is for people: where the volume is full, it is lost. */
export async function keepMetadata(
  { volume, logger }: Pick<Deps, 'volume'> & { readonly logger: Logger },
  id: string,
): Promise<void> {
  try {
    await keepRestoredMetadata(volume, id);
  } catch (error) {
    const problem = describeErrno(error);
    logger.warn({ freeze: id, problem }, 'the metadata of the copy could not be kept');
  }
}
