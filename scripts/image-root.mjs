// Lays out the root of the image: image-root.mjs OUT NODE, after the build has filled OUT/usr/lib/quiesce.
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folders of the sidecar's socket and journal. */
const WRITABLE = ['run/quiesce', 'var/lib/quiesce'];

const [out, node] = process.argv.slice(2);
if (!out || !node || !isAbsolute(node) || /\s/.test(node)) {
  process.stderr.write('usage: image-root.mjs OUT NODE; NODE is an absolute path in the image\n');
  process.exit(2);
}

// The image has no /usr/bin/env, so the first line must name the interpreter by its full path.
const cli = join(out, 'usr/lib/quiesce/cli.js');
const source = await readFile(cli, 'utf8');
if (!source.startsWith('#!')) throw new Error(`${cli} does not start with #!`);
await writeFile(cli, source.replace(/^#!.*\n/, `#!${node}\n`));

// Keep only the addons for Linux, the system of the image.
const native = join(out, 'usr/lib/quiesce/native');
for (const platform of await readdir(native)) {
  if (!platform.startsWith('linux-')) await rm(join(native, platform), { recursive: true });
}

await mkdir(join(out, 'usr/bin'), { recursive: true });
await rm(join(out, 'usr/bin/quiesce'), { force: true });
await symlink('../lib/quiesce/cli.js', join(out, 'usr/bin/quiesce'));

await mkdir(join(out, 'usr/share/doc/quiesce'), { recursive: true });
await copyFile(
  fileURLToPath(new URL('../LICENSE', import.meta.url)),
  join(out, 'usr/share/doc/quiesce/LICENSE'),
);

for (const folder of WRITABLE) await mkdir(join(out, folder), { recursive: true });

// The image may run as any user: all users may read, whatever the umask of the build was.
for (const name of await readdir(out, { recursive: true })) {
  const path = join(out, name);
  const info = await lstat(path);
  if (!info.isSymbolicLink()) await chmod(path, info.isDirectory() || path === cli ? 0o755 : 0o644);
}
// All users may write here. An emptyDir mounted over a folder has its own permissions.
for (const folder of WRITABLE) await chmod(join(out, folder), 0o1777);
