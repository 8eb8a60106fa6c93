// Runs the restore matrix: node test/matrix/run.mjs --postgres 17 --mode open --restores 1
import { runBundled } from '../support/run-bundled.mjs';

await runBundled('test/matrix/main.ts');
