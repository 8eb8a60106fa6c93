// Makes the images alone: node scripts/run-ts.mjs test/velero/images/main.ts BIN [NAME…]
// BIN is the folder with the programs of Velero; NAME is a key of IMAGES.
import { join, resolve } from 'node:path';
import { requireInstalled } from '../../support/packages.ts';
import { ensureImages, IMAGES, PACKAGES } from './index.ts';

const [bin = '.', ...names] = process.argv.slice(2);
const program = (name: string): string => join(resolve(bin), name);
const isKnown = (name: string): name is keyof typeof IMAGES => name in IMAGES;
const begun = performance.now();

requireInstalled(PACKAGES);
const paths = await ensureImages({
  programs: {
    velero: program('velero'),
    veleroRestoreHelper: program('velero-restore-helper'),
    veleroPluginForAws: program('velero-plugin-for-aws'),
  },
  say: (line) => void process.stderr.write(`${line}\n`),
  ...(names.length > 0 && { only: names.filter(isKnown) }),
});
process.stdout.write(`${paths.join('\n')}\n`);
process.stderr.write(`${((performance.now() - begun) / 1_000).toFixed(1)} s\n`);
