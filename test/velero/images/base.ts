import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../run.ts';
import { AUTHORITIES, contentOf, hashOf } from './inputs.ts';
import { hasImage, hidden, makeImage, withTree } from './store.ts';

export const PATHS = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What the servers, their entrypoints and the tests need of Debian. */
const INCLUDED = [
  'busybox-static',
  'ca-certificates',
  'curl',
  'libnss-wrapper',
  'libreadline8',
  'libstdc++6',
  'postgresql-client',
  'procps',
  'python3-pymongo',
  'redis-server',
];

/** The name of the base of all images with a shell; it contains a hash of what the base is made from. */
export async function baseName(): Promise<string> {
  const hash = hashOf(await contentOf('test/velero/images/base.ts', AUTHORITIES));
  return `localhost/quiesce-velero-base:${hash}`;
}

/** Makes the base, unless it is there. */
export async function ensureBase(say: (line: string) => void): Promise<string> {
  const name = await baseName();
  if (await hasImage(name)) return name;
  say('base image (debootstrap)');
  await withTree(async (root) => {
    const line = ['--variant=minbase', `--include=${INCLUDED.join(',')}`, 'bookworm', root];
    await run(...hidden('debootstrap', line));
    await copyFile(AUTHORITIES, join(root, AUTHORITIES));
    const unneeded = ['var/cache/apt', 'var/lib/apt/lists', 'var/log', 'usr/share/doc'];
    for (const folder of [...unneeded, 'usr/share/man', 'usr/share/locale']) {
      await rm(join(root, folder), { recursive: true, force: true });
    }
    await makeImage('scratch', root, { env: { PATH: PATHS }, cmd: ['/bin/bash'] }, name);
  });
  return name;
}
