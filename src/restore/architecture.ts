import { join } from 'node:path';
import { QuiesceError } from '../errors.ts';
import { machineArchitecture } from '../lib/machine.ts';
import { readRegular } from '../lib/regular-file.ts';
import { LARGEST_METADATA, METADATA_FILE, parseMetadata } from '../receipt/metadata-document.ts';
import type { Receipt } from '../receipt/receipt.ts';
import { VOLUME_FOLDER } from '../receipt/volume.ts';

/**
 * Compares the machine of the copy with this one, by the metadata that the copy carries. Both are machines
 * of quiesce, so an emulated server changes nothing. A copy without metadata passes: nothing is known of it.
 *
 * @returns a note for a dry run, which may be made on any machine
 * @throws QuiesceError RESTORE_ARCHITECTURE
 */
export async function checkArchitecture(
  dataDir: string,
  receipt: Receipt,
  dryRun: boolean,
): Promise<string | null> {
  const path = join(dataDir, VOLUME_FOLDER, METADATA_FILE);
  const copied = parseMetadata(await readRegular(path, LARGEST_METADATA).catch(() => ''));
  if (copied === null || copied.id !== receipt.id) return null;
  const here = machineArchitecture();
  if (copied.architecture === here) return null;
  const message = `The copy of freeze ${receipt.id} was made on ${copied.architecture}, and this machine is ${here}: ${receipt.engine.name} does not support its files there.`;
  if (dryRun) return message;
  throw new QuiesceError('RESTORE_ARCHITECTURE', message);
}
