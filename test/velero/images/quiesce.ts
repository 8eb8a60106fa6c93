import { chmod, mkdir, realpath, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ROOT } from '../layout.ts';
import { run } from '../run.ts';
import { baseName, PATHS } from './base.ts';
import { AUTHORITIES, contentOf, hashOf, identityOf } from './inputs.ts';
import { IMAGES } from './names.ts';
import { filesOf, type Recipe } from './recipe.ts';
import { buildah, hasImage, makeImage, withTree } from './store.ts';
import { putFolder, putProgram, putUser } from './tree.ts';

/** What .dockerignore lets into the build, and what rules it. */
const INPUTS = [
  '.dockerignore',
  'Dockerfile',
  'LICENSE',
  'docs/openapi.json',
  'package-lock.json',
  'package.json',
  'scripts/build.mjs',
  'scripts/image-root.mjs',
  'src',
];
/** The stage of the Dockerfile that has npm's packages. It is tagged so that its layers are kept. */
const STAGE = 'localhost/quiesce-build-stage:latest';
/** A process may not raise its limits where root lacks CAP_SYS_RESOURCE. */
const LIMITS = ['--ulimit', 'nofile=1024:4096', '--ulimit', 'nproc=1024:4096'];

interface Bases {
  readonly build: string;
  readonly runtime: string;
}

/** The project's own Dockerfile, on bases made of Debian and this machine's Node. */
export async function quiesce(): Promise<Recipe> {
  const bases = await baseNames();
  return {
    name: 'quiesce',
    inputs: [bases.build, await filesOf('quiesce.ts'), await contentOf(...INPUTS)].join(),
    make: async (to) => {
      await ensureBases(bases);
      await build(bases, '--target', 'build', '--tag', STAGE);
      await build(bases, '--tag', IMAGES.quiesce);
      await buildah('push', '--quiet', IMAGES.quiesce, to);
    },
  };
}

/** The images that a later build of quiesce starts from. */
export async function keptForQuiesce(): Promise<string[]> {
  return [...Object.values(await baseNames()), STAGE, IMAGES.quiesce];
}

async function build({ build, runtime }: Bases, ...more: string[]): Promise<void> {
  const args = ['--build-arg', `BUILD_IMAGE=${build}`, '--build-arg', `RUNTIME_IMAGE=${runtime}`];
  const how = ['--layers', '--pull-never', '--network', 'host', '--runtime', 'runc', ...LIMITS];
  await buildah('bud', ...how, ...args, ...more, ROOT);
}

async function baseNames(): Promise<Bases> {
  const made = [await filesOf('quiesce.ts', 'tree.ts'), await contentOf(AUTHORITIES)];
  const hash = hashOf(await baseName(), ...made, await identityOf(await nodePath()));
  return {
    build: `localhost/quiesce-build-base:${hash}`,
    runtime: `localhost/quiesce-runtime-base:${hash}`,
  };
}

const nodePath = (): Promise<string> => realpath(process.execPath);

async function ensureBases({ build, runtime }: Bases): Promise<void> {
  if (!(await hasImage(build))) {
    await withTree(async (tree) => {
      await putNpm(tree);
      const registry = (await run('npm', ['config', 'get', 'registry'], { cwd: ROOT })).stdout;
      const env = {
        PATH: PATHS,
        NODE_EXTRA_CA_CERTS: AUTHORITIES,
        NPM_CONFIG_REGISTRY: registry.trim(),
      };
      await makeImage(await baseName(), tree, { env }, build);
    });
  }
  if (await hasImage(runtime)) return;
  await withTree(async (tree) => {
    await putRuntime(tree);
    await makeImage('scratch', tree, { user: '65532', env: { PATH: PATHS } }, runtime);
  });
}

async function putNpm(tree: string): Promise<void> {
  await putProgram(tree, 'usr/local/bin/node', await nodePath());
  const npm = await realpath((await run('which', ['npm'])).stdout.trim());
  await putFolder(tree, 'usr/local/lib/node_modules');
  await run('cp', ['-a', dirname(dirname(npm)), join(tree, 'usr/local/lib/node_modules/npm')]);
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(tree, 'usr/local/bin/npm'));
}

/** Node and its libraries, without a shell, as in distroless images. */
async function putRuntime(tree: string): Promise<void> {
  const node = await nodePath();
  await putProgram(tree, 'nodejs/bin/node', node);
  const { stdout } = await run('ldd', [node]);
  for (const [library] of stdout.matchAll(/\/[^ ]+/g)) await putCopy(tree, library);
  await putCopy(tree, AUTHORITIES);
  await putUser(tree, { name: 'nonroot', uid: 65532, home: '/home/nonroot' });
  await putFolder(tree, 'home/nonroot', { owner: 65532 });
  await putFolder(tree, 'tmp', { mode: 0o1777 });
}

async function putCopy(tree: string, path: string): Promise<void> {
  await mkdir(dirname(join(tree, path)), { recursive: true });
  await run('cp', ['-L', path, join(tree, path)]);
  await chmod(join(tree, path), 0o755);
}
