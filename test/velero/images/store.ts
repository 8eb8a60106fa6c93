import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CACHE } from '../layout.ts';
import { run } from '../run.ts';

const STORE = join(CACHE, 'image-store');
const CONFIG = join(STORE, 'storage.conf');
const SCRATCH = join(STORE, 'tmp');
/** Other checkouts share the store: what one of them has made lately stays. */
const OTHERS_STAY_MS = 24 * 3_600_000;

/** Settings of an image. */
export interface Settings {
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly workdir?: string;
  readonly volume?: string;
  readonly port?: number;
  readonly stopSignal?: string;
  /** Files that another image has, at the same places. */
  readonly borrowed?: { readonly from: string; readonly paths: readonly string[] };
}

/** Buildah's storage in the cache. It is kept, so that a later build finds its layers. */
export async function openStore(): Promise<void> {
  await mkdir(STORE, { recursive: true });
  // Temporary files, buildah's and ours: what a killed build has left is removed here.
  await rm(SCRATCH, { recursive: true, force: true });
  await mkdir(SCRATCH);
  const [graph, state] = [join(STORE, 'graph'), join(STORE, 'run')];
  await writeFile(
    CONFIG,
    `[storage]\ndriver = "overlay"\ngraphroot = "${graph}"\nrunroot = "${state}"\n`,
  );
  await buildah('rm', '--all');
}

/**
 * Runs buildah in a mount namespace of its own: its mounts go with its process, however that ends.
 *
 * @returns its output
 */
export async function buildah(...args: string[]): Promise<string> {
  const env = {
    CONTAINERS_STORAGE_CONF: CONFIG,
    BUILDAH_FORMAT: 'docker',
    BUILDAH_ISOLATION: 'oci',
    TMPDIR: SCRATCH,
    LC_ALL: 'C',
  };
  return (await run(...hidden('buildah', args), { env, cwd: CACHE })).stdout.trim();
}

/** The program and arguments that run a program in a mount namespace of its own. */
export function hidden(program: string, args: readonly string[]): [string, string[]] {
  return ['unshare', ['--mount', '--propagation', 'private', '--', program, ...args]];
}

export async function hasImage(name: string): Promise<boolean> {
  return (await imageNames()).includes(name);
}

async function imageNames(): Promise<string[]> {
  return (await listImages()).flatMap(({ names }) => names ?? []);
}

/** As `buildah images --json` prints them; an image without a name is a layer of another, or left over. */
interface Listed {
  readonly names: readonly string[] | null;
  readonly createdatraw: string;
}

async function listImages(): Promise<Listed[]> {
  return JSON.parse(await buildah('images', '--json')) as Listed[];
}

/** Makes an image of a base (`scratch` is one) and a folder, and puts it where `to` says. */
export async function makeImage(
  base: string,
  tree: string | undefined,
  settings: Settings,
  to: string,
): Promise<void> {
  const container = await buildah('from', '--pull-never', base);
  try {
    if (tree !== undefined) await addTree(container, tree);
    for (const path of settings.borrowed?.paths ?? []) {
      await buildah(
        'copy',
        '--quiet',
        '--from',
        settings.borrowed?.from ?? '',
        container,
        path,
        path,
      );
    }
    await buildah('config', ...flags(settings), container);
    await buildah('commit', '--quiet', container, to);
  } finally {
    await buildah('rm', container);
  }
}

/** As a tar, so that owners and modes stay as they are. */
async function addTree(container: string, tree: string): Promise<void> {
  const archive = `${tree}.tar`;
  await run('tar', ['--create', '--numeric-owner', '--file', archive, '--directory', tree, '.']);
  await buildah('add', '--quiet', container, archive, '/');
  await rm(archive);
}

function flags(settings: Settings): string[] {
  const { user, env = {}, entrypoint, cmd, workdir, volume, port, stopSignal } = settings;
  return [
    ...Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    ...(user === undefined ? [] : ['--user', user]),
    ...(entrypoint === undefined ? [] : ['--entrypoint', JSON.stringify(entrypoint)]),
    ...(cmd === undefined ? [] : ['--cmd', JSON.stringify(cmd)]),
    ...(workdir === undefined ? [] : ['--workingdir', workdir]),
    ...(volume === undefined ? [] : ['--volume', volume]),
    ...(port === undefined ? [] : ['--port', String(port)]),
    ...(stopSignal === undefined ? [] : ['--stop-signal', stopSignal]),
  ];
}

/** Removes images, except these, those that they were built on, and those that are younger than a day. */
export async function keepOnly(kept: readonly string[]): Promise<void> {
  const limit = Date.now() - OTHERS_STAY_MS;
  const old = (await listImages()).filter(({ createdatraw }) => Date.parse(createdatraw) < limit);
  const others = old.flatMap(({ names }) => names ?? []).filter((name) => !kept.includes(name));
  if (others.length > 0) await buildah('rmi', '--force', ...others);
  await buildah('rmi', '--prune');
}

/** Has `work` fill a folder, which is removed afterwards. */
export async function withTree<T>(work: (tree: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(SCRATCH, 'tree-'));
  const tree = join(folder, 'tree');
  await mkdir(tree, { mode: 0o755 });
  try {
    return await work(tree);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
