import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Binding {
  /** Throws `EAGAIN` where another holds the lock. Length 0: the whole file. */
  tryLock(fd: number, offset: number, length: number, exclusive: boolean): void;
}

const NAME = 'fs-native-extensions';
let binding: Binding | undefined;

/**
 * Locks a file against every other process that asks, in whichever container: an open file description
 * lock of Linux (fcntl(2), F_OFD_SETLK), which ends with the descriptor, is in no copy of the file, and
 * needs no name of its own. Node itself has no call for it.
 *
 * @param fd open for writing.
 * @returns whether it is ours now. Throws where it cannot be locked at all.
 */
export function tryLock(fd: number): boolean {
  binding ??= load();
  try {
    binding.tryLock(fd, 0, 0, true);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw error;
  }
}

/** From beside the bundles, where the build has put it; from its package, where nothing was built. */
function load(): Binding {
  const require = createRequire(import.meta.url);
  const file = join(`${process.platform}-${process.arch}`, `${NAME}.node`);
  const built = join(dirname(fileURLToPath(import.meta.url)), '../native', file);
  if (existsSync(built)) return require(built) as Binding;
  const manifest = require.resolve('fs-native-extensions/package.json');
  return require(join(dirname(manifest), 'prebuilds', file)) as Binding;
}
