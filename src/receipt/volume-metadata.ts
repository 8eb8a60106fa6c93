import {
  LARGEST_METADATA,
  METADATA_FILE,
  type MetadataDocument,
  parseMetadata,
} from './metadata-document.ts';
import { RESTORED_PREFIX, type ReceiptVolume } from './volume.ts';

/** No id contains a plus sign, so this is never the name of another result. */
const restored = (id: string): string => `${RESTORED_PREFIX}${id}+${METADATA_FILE}`;

/** The metadata that the copy of this freeze carried, also after its verification; `null`: none. */
export async function readMetadataOf(
  volume: ReceiptVolume,
  id: string,
): Promise<MetadataDocument | null> {
  if (volume.dataDir === undefined) return null;
  for (const name of [METADATA_FILE, restored(id)]) {
    const found = parseMetadata(await volume.read(name, LARGEST_METADATA).catch(() => ''));
    if (found?.id === id) return found;
  }
  return null;
}

/** Keeps the metadata of a restored copy beyond the verification, which removes its other files. */
export async function keepRestoredMetadata(volume: ReceiptVolume, id: string): Promise<void> {
  const found = await readMetadataOf(volume, id);
  if (found === null) return;
  await volume.write(restored(id), `${JSON.stringify(found, null, 1)}\n`, 0o600);
}
