import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Binding {
  /** Throws `EAGAIN` where another process holds the lock. Length 0: the whole file. */
  tryLock(fd: number, offset: number, length: number, exclusive: boolean): void;
}

const NAME = 'fs-native-extensions';
let binding: Binding | undefined;

/**
 * Locks a file against other processes that lock it, in any container of the node. It is an open file
 * description lock of Linux (fcntl(2), F_OFD_SETLK): it ends with the descriptor, no copy of the file
 * carries it, and it needs no lock file of its own. Node has no call for it.
 *
 * @param fd open for writing
 * @returns whether this process has the lock now
 * @throws Error where the file cannot be locked at all
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

/** Loads the binding from next to the bundles, where the build puts it, or else from its package. */
function load(): Binding {
  const require = createRequire(import.meta.url);
  const file = join(`${process.platform}-${process.arch}`, `${NAME}.node`);
  const built = join(dirname(fileURLToPath(import.meta.url)), '../native', file);
  if (existsSync(built)) return require(built) as Binding;
  const manifest = require.resolve('fs-native-extensions/package.json');
  return require(join(dirname(manifest), 'prebuilds', file)) as Binding;
}
