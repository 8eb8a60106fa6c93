import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Finds a file of the package in the folders above this code, which may be bundled. */
export function packageFile(...candidates: string[]): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    for (const candidate of candidates) {
      const path = join(dir, candidate);
      if (existsSync(path)) return path;
    }
    if (dirname(dir) === dir) throw new Error(`${candidates[0]} is missing in this installation`);
    dir = dirname(dir);
  }
}
