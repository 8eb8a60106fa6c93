import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { run } from '../run.ts';
import { baseName, PATHS } from './base.ts';
import { AUTHORITIES, contentOf, identityOf } from './inputs.ts';
import { filesOf, type Programs, type Recipe } from './recipe.ts';
import { makeImage, withTree } from './store.ts';
import { putFolder, putProgram, putUser } from './tree.ts';

/** Holds the namespaces of a pod, and waits for processes that nobody else waits for. */
const PAUSE = `
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap);
  for (;;) pause();
}
`;
const NONROOT = '65532:65532';

export async function pause(): Promise<Recipe> {
  return {
    name: 'pause',
    inputs: await filesOf('small.ts'),
    make: (to) =>
      withTree(async (tree) => {
        const line = ['-static', '-Os', '-x', 'c', '-o', join(tree, 'pause'), '-'];
        await run('gcc', line, { input: PAUSE });
        await makeImage('scratch', tree, { user: '65535:65535', entrypoint: ['/pause'] }, to);
      }),
  };
}

/** For the chart's `helm test`, and a toolbox. */
export async function curl(): Promise<Recipe> {
  const base = await baseName();
  return {
    name: 'curl',
    inputs: [base, await filesOf('small.ts')].join(),
    make: (to) =>
      makeImage(base, undefined, { user: '100:101', env: { PATH: PATHS }, cmd: ['sh'] }, to),
  };
}

/** Velero as its own image: programs in /, no shell. */
export async function velero({ velero, veleroRestoreHelper }: Programs): Promise<Recipe> {
  return {
    name: 'velero',
    inputs: [
      await filesOf('small.ts', 'tree.ts'),
      await contentOf(AUTHORITIES),
      await identityOf(velero, veleroRestoreHelper),
    ].join(),
    make: (to) =>
      withTree(async (tree) => {
        await putProgram(tree, 'velero', velero);
        await putProgram(tree, 'velero-restore-helper', veleroRestoreHelper);
        await putUser(tree, { name: 'cnb', uid: 65532, home: '/home/cnb' });
        await putFolder(tree, 'home/cnb', { owner: 65532 });
        await putFolder(tree, 'tmp', { mode: 0o1777 });
        await putAuthorities(tree);
        // kopia keeps its configuration and cache in HOME.
        await makeImage('scratch', tree, { user: NONROOT, env: { HOME: '/home/cnb' } }, to);
      }),
  };
}

/** Velero's plugin: an init container that copies it to where Velero looks. */
export async function veleroPlugin({ veleroPluginForAws }: Programs): Promise<Recipe> {
  const base = await baseName();
  const copy = ['/bin/busybox', 'cp', '/plugins/velero-plugin-for-aws', '/target/'];
  return {
    name: 'velero-plugin-for-aws',
    inputs: [
      base,
      await filesOf('small.ts', 'tree.ts'),
      await identityOf(veleroPluginForAws),
    ].join(),
    make: (to) =>
      withTree(async (tree) => {
        await putProgram(tree, 'plugins/velero-plugin-for-aws', veleroPluginForAws);
        const borrowed = { from: base, paths: ['/bin/busybox'] };
        await makeImage('scratch', tree, { user: NONROOT, entrypoint: copy, borrowed }, to);
      }),
  };
}

async function putAuthorities(tree: string): Promise<void> {
  const path = join(tree, AUTHORITIES);
  await mkdir(dirname(path), { recursive: true });
  await run('cp', ['-L', AUTHORITIES, path]);
  await chmod(path, 0o644);
  // Names resolve as in images with a C library: /etc/hosts first.
  await writeFile(join(tree, 'etc/nsswitch.conf'), 'hosts: files dns\n');
}
