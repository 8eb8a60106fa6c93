// Lays out the root of the image: image-root.mjs OUT NODE. The build has filled OUT/usr/lib/quiesce.
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const [out, node] = process.argv.slice(2);
if (!out || !node?.startsWith('/')) {
  process.stderr.write('usage: image-root.mjs OUT NODE, NODE an absolute path in the image\n');
  process.exit(2);
}

// Without /usr/bin/env in the image the kernel must find the interpreter by itself.
const cli = join(out, 'usr/lib/quiesce/cli.js');
const source = await readFile(cli, 'utf8');
await writeFile(cli, source.replace(/^#!.*\n/, `#!${node}\n`));
await chmod(cli, 0o755);
// Node reads `type` to know that these are ES modules.
await writeFile(join(out, 'usr/lib/quiesce/package.json'), '{"type":"module"}\n');

await mkdir(join(out, 'usr/bin'), { recursive: true });
await symlink('../lib/quiesce/cli.js', join(out, 'usr/bin/quiesce'));

// Any user may be the database's, and an emptyDir mounted over these brings its own permissions.
for (const folder of ['run/quiesce', 'var/lib/quiesce']) {
  await mkdir(join(out, folder), { recursive: true });
  await chmod(join(out, folder), 0o1777);
}
