// Runs the fault harness: node test/faults/run.mjs --runs 100 --seed 1
import { runBundled } from '../support/run-bundled.mjs';

await runBundled('test/faults/main.ts');
