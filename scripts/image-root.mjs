// Lays out the root of the image: image-root.mjs OUT NODE. The build has filled OUT/usr/lib/quiesce.
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [out, node] = process.argv.slice(2);
if (!out || !node || !isAbsolute(node) || /\s/.test(node)) {
  process.stderr.write('usage: image-root.mjs OUT NODE, NODE an absolute path in the image\n');
  process.exit(2);
}

// Without /usr/bin/env in the image the kernel must find the interpreter by itself.
const cli = join(out, 'usr/lib/quiesce/cli.js');
const source = await readFile(cli, 'utf8');
if (!source.startsWith('#!')) throw new Error(`${cli} has no line that names its interpreter`);
await writeFile(cli, source.replace(/^#!.*\n/, `#!${node}\n`));
await chmod(cli, 0o755);
// Node reads `type` to know that these are ES modules.
await writeFile(join(out, 'usr/lib/quiesce/package.json'), '{"type":"module"}\n');

await mkdir(join(out, 'usr/bin'), { recursive: true });
await rm(join(out, 'usr/bin/quiesce'), { force: true });
await symlink('../lib/quiesce/cli.js', join(out, 'usr/bin/quiesce'));

await mkdir(join(out, 'usr/share/doc/quiesce'), { recursive: true });
await copyFile(
  fileURLToPath(new URL('../LICENSE', import.meta.url)),
  join(out, 'usr/share/doc/quiesce/LICENSE'),
);

// Any user may be the database's, and an emptyDir mounted over these brings its own permissions.
for (const folder of ['run/quiesce', 'var/lib/quiesce']) {
  await mkdir(join(out, folder), { recursive: true });
  await chmod(join(out, folder), 0o1777);
}
