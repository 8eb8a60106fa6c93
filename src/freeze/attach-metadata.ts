import type { Engine } from '../engines/engine.ts';
import { abortedWithin, unlessAborted } from '../lib/deadline.ts';
import { describeErrno } from '../lib/durable-files.ts';
import { machineArchitecture } from '../lib/machine.ts';
import { METADATA_FILE, writeMetadata } from '../receipt/metadata-document.ts';
import type { ReceiptVolume } from '../receipt/volume.ts';

const WITHIN_MS = 5_000;
/** The share of the time left that it may take: the hold needs the rest. */
const SHARE = 0.25;
/** The share of its time that the database gets; the rest is for the volume. */
const DATABASE_SHARE = 0.7;

interface Deps {
  readonly engine: Engine;
  readonly volume: ReceiptVolume;
}

/**
 * Writes the metadata beside the receipt. Nothing is held yet, and nothing waits for it but the freeze. It
 * never fails one: a person may read the metadata, but no restore needs it.
 *
 * @param leftMs until the timeout of the freeze
 * @returns why the copy will carry none, as a note for the receipt; `null`: it will, or there is no volume
 */
export async function attachMetadata(
  { engine, volume }: Deps,
  id: string,
  leftMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  if (volume.dataDir === undefined) return null;
  const withinMs = Math.max(2, Math.floor(Math.min(WITHIN_MS, leftMs * SHARE)));
  const late = abortedWithin(withinMs, signal);
  try {
    // The engine ends in time by itself, with what it has. The other limit is for a driver that hangs.
    const reading = engine.copyMetadata(Math.floor(withinMs * DATABASE_SHARE), late);
    const { metadata, absent, truncated } = await unlessAborted(reading, late);
    const text = writeMetadata({
      apiVersion: 'quiesce.dev/v1',
      kind: 'Metadata',
      id,
      engine: engine.name,
      collectedAt: new Date().toISOString(),
      architecture: machineArchitecture(),
      metadata: structuredClone(metadata) as Parameters<typeof writeMetadata>[0]['metadata'],
      absent: [...absent],
      truncated: [...truncated],
    });
    await unlessAborted(volume.attach(METADATA_FILE, text), late);
    return null;
  } catch (error) {
    return `The copy carries no metadata (quiesce metadata --data): ${describeErrno(error).replace(/\.?$/, '.')}`;
  }
}
