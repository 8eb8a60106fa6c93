import { join } from 'node:path';
import { constants } from 'node:fs';
import { openRegular, readIfThere } from '../../../lib/regular-file.ts';
import { checkDescriptor } from '../data-dir/wiredtiger/blocks.ts';
import { readMetadata } from '../data-dir/wiredtiger/metadata.ts';
import { Damage, Window } from '../data-dir/wiredtiger/window.ts';
import { incomplete } from './incomplete.ts';

const TURTLE_FILE = 'WiredTiger.turtle';
const METADATA_FILE = 'WiredTiger.wt';

/**
 * Checks the two files from which a server without a backup would start: the turtle file, which the server
 * always replaces as a whole, and the table of the metadata that it describes. The server writes to both
 * under the lock. From a backup it makes them anew (measured, 6.0), but damage to them shows a damaged copy.
 *
 * @throws QuiesceError RESTORE_INCOMPLETE
 */
export async function checkTurtle(path: string): Promise<void> {
  const turtle = join(path, TURTLE_FILE);
  const text = await readIfThere(turtle);
  if (text === null) throw incomplete(`${turtle} is missing.`);
  const [metadata] = readMetadata(text).filter(({ name }) => name === METADATA_FILE);
  const whole = text.startsWith('WiredTiger version string\n') && text.endsWith('\n');
  if (!whole || metadata?.checkpoints == null || metadata.checkpoints.length === 0) {
    throw incomplete(`${turtle} is damaged: it does not describe ${METADATA_FILE} completely.`);
  }
  const file = await openRegular(join(path, METADATA_FILE), constants.O_NOFOLLOW);
  try {
    await checkDescriptor(new Window(file), metadata.allocationSize);
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    throw incomplete(`${join(path, METADATA_FILE)} is damaged: ${error.message}.`);
  } finally {
    await file.close();
  }
}
