// Builds helm from the Go module proxy, for the tests of the chart, and prints where it is. A second
// call finds it there.
//
//   node scripts/helm.mjs            ~/.cache/quiesce/bin/helm-4.3.1 (QUIESCE_CACHE moves it)
import { join } from 'node:path';
import { cache, goInstall } from './go.mjs';

const VERSION = '4.3.1';

try {
  const file = join(cache, 'bin', `helm-${VERSION}`);
  goInstall(file, `helm.sh/helm/v4/cmd/helm@v${VERSION}`);
  process.stdout.write(`${file}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
