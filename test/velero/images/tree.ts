import { chmod, chown, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ROOT } from '../layout.ts';

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
}

/** Replaces the users of an image with root, nobody and this one; its group has the same name and id. */
export async function putUser(tree: string, { name, uid, home }: User): Promise<void> {
  const users = [
    'root:x:0:0:root:/root:/bin/bash',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
    `${name}:x:${uid}:${uid}::${home}:/bin/bash`,
  ];
  const groups = ['root:x:0:', 'nogroup:x:65534:', `${name}:x:${uid}:`];
  await putText(tree, 'etc/passwd', `${users.join('\n')}\n`);
  await putText(tree, 'etc/group', `${groups.join('\n')}\n`);
}

export async function putText(tree: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(tree, path)), { recursive: true });
  await writeFile(join(tree, path), text);
}

/** A program of this machine, or a script from `files/`. */
export async function putProgram(tree: string, path: string, from: string): Promise<void> {
  await mkdir(dirname(join(tree, path)), { recursive: true });
  const source = from.startsWith('/') ? from : join(ROOT, 'test/velero/images/files', from);
  await copyFile(source, join(tree, path));
  await chmod(join(tree, path), 0o755);
}

export async function putFolder(
  tree: string,
  path: string,
  { owner = 0, mode = 0o755 } = {},
): Promise<void> {
  await mkdir(join(tree, path), { recursive: true });
  await chown(join(tree, path), owner, owner);
  await chmod(join(tree, path), mode);
}
