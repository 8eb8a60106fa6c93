import type { Engine } from '../engines/engine.ts';
import { unlessAborted, withDeadline } from '../lib/deadline.ts';
import { describeErrno } from '../lib/durable-files.ts';
import { machineArchitecture } from '../lib/machine.ts';
import { METADATA_FILE, writeMetadata } from '../receipt/metadata-document.ts';
import type { ReceiptVolume } from '../receipt/volume.ts';

const WITHIN_MS = 5_000;
/** For the volume, beyond the time of the database. */
const WRITE_WITHIN_MS = 1_000;
/** The share of the time left that it may take: the hold needs the rest. */
const SHARE = 0.25;

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
  const withinMs = Math.floor(Math.max(1, Math.min(WITHIN_MS, leftMs * SHARE)));
  try {
    // The engine ends in time by itself, with what it has; the second limit is for a driver that hangs.
    const slack = Math.min(WRITE_WITHIN_MS, withinMs);
    const late = AbortSignal.any([signal, AbortSignal.timeout(withinMs + slack)]);
    const reading = engine.copyMetadata(withinMs, late);
    const { metadata, absent, truncated } = await within(withinMs + slack, reading, signal);
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
    await within(slack, volume.attach(METADATA_FILE, text), signal);
    return null;
  } catch (error) {
    return `The copy carries no metadata (quiesce metadata --data): ${describeErrno(error).replace(/\.?$/, '.')}`;
  }
}

/** A freeze that is given up does not wait for this either. */
async function within<T>(ms: number, work: Promise<T>, signal: AbortSignal): Promise<T> {
  return await unlessAborted(withDeadline(ms, work), signal);
}
