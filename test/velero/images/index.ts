import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { CACHE } from '../layout.ts';
import { ensureBase } from './base.ts';
import { mongo, postgres, redis } from './databases.ts';
import { hashOf } from './inputs.ts';
import { lockImages } from './lock.ts';
import { IMAGES } from './names.ts';
import { keptForQuiesce, quiesce } from './quiesce.ts';
import type { Programs, Recipe } from './recipe.ts';
import { curl, pause, velero, veleroPlugin } from './small.ts';
import { keepOnly, openStore } from './store.ts';

export { IMAGES, PACKAGES } from './names.ts';

const FOLDER = join(CACHE, 'images');
/** After this time an archive that no run has used is removed. */
const UNUSED_MS = 24 * 3_600_000;

export interface ImageOptions {
  readonly programs: Programs;
  readonly say: (line: string) => void;
  /** Only these; default: all. */
  readonly only?: readonly (keyof typeof IMAGES)[];
}

/**
 * Makes the images that are missing or out of date, without a registry. Needs root, and what PACKAGES lists.
 *
 * @returns the paths of the archives, in the format of `docker save`
 */
export async function ensureImages({ programs, say, only }: ImageOptions): Promise<string[]> {
  await mkdir(FOLDER, { recursive: true });
  const unlock = await lockImages(join(CACHE, 'images.lock'), say);
  try {
    const wanted: Archive[] = [];
    for (const image of only ?? (Object.keys(IMAGES) as (keyof typeof IMAGES)[])) {
      const recipe = await RECIPES[image](programs);
      const path = join(FOLDER, `${recipe.name}-${hashOf(recipe.inputs, IMAGES[image])}.tar`);
      wanted.push({ path, name: IMAGES[image], recipe });
    }
    const missing = wanted.filter(({ path }) => !existsSync(path));
    if (missing.length > 0) await makeAll(missing, say);
    const paths = wanted.map(({ path }) => path);
    await removeUnused(paths);
    return paths;
  } finally {
    unlock();
  }
}

const RECIPES: Record<keyof typeof IMAGES, (programs: Programs) => Promise<Recipe>> = {
  pause,
  postgres,
  redis,
  mongo,
  curl,
  quiesce,
  velero,
  veleroPlugin,
};

interface Archive {
  readonly path: string;
  readonly name: string;
  readonly recipe: Recipe;
}

async function makeAll(missing: readonly Archive[], say: (line: string) => void): Promise<void> {
  await openStore();
  const base = await ensureBase(say);
  for (const { path, name, recipe } of missing) {
    const begun = performance.now();
    const partial = `${path}.partial`;
    await rm(partial, { force: true });
    await recipe.make(`docker-archive:${partial}:${name}`);
    await rename(partial, path);
    say(`image ${name}, ${((performance.now() - begun) / 1_000).toFixed(1)} s`);
  }
  await keepOnly([base, ...(await keptForQuiesce())]);
}

/** Other checkouts share the cache: what one of them has used lately stays. */
async function removeUnused(used: readonly string[]): Promise<void> {
  const now = new Date();
  for (const path of used) await utimes(path, now, now);
  for (const file of await readdir(FOLDER)) {
    const path = join(FOLDER, file);
    const { mtimeMs } = await stat(path);
    if (now.getTime() - mtimeMs > UNUSED_MS) await rm(path, { force: true });
  }
}
