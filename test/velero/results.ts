import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CACHE } from './layout.ts';
import type { Played } from './play.ts';
import { run } from './run.ts';

/** What one story has shown, the last time it was played on a commit. */
export interface Result extends Played {
  readonly commit: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** How long the cluster took to come up; `null` in one that was kept. */
  readonly upSeconds: number | null;
}

const FOLDER = join(CACHE, 'test-velero-results');

/** The commit that is checked out; with changes that are not in it, its name says so. */
export async function commitHere(): Promise<string> {
  const { stdout: commit } = await run('git', ['rev-parse', '--short=12', 'HEAD']);
  const { stdout: changed } = await run('git', ['status', '--porcelain', '--untracked-files=no']);
  return `${commit.trim()}${changed.trim() === '' ? '' : '-with-changes'}`;
}

export async function keepResult(result: Result): Promise<void> {
  const folder = join(FOLDER, result.commit);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${result.name}.json`), JSON.stringify(result));
}

/** Removes the results of commits on which nothing was played for a week. */
export async function removeOldResults(): Promise<void> {
  const week = Date.now() - 7 * 24 * 3_600_000;
  for (const commit of await readdir(FOLDER).catch(() => [])) {
    const all = await resultsOf(commit);
    if (all.every(({ at }) => Date.parse(at) < week)) {
      await rm(join(FOLDER, commit), { recursive: true, force: true });
    }
  }
}

/** Of each story, the result on the newest commit of this branch on which it was played, among the last 100. */
export async function newestResults(): Promise<readonly Result[]> {
  const { stdout } = await run('git', ['log', '--max-count=100', '--format=%H']);
  const played = await readdir(FOLDER).catch(() => []);
  const newest = new Map<string, Result>();
  for (const hash of stdout.split('\n')) {
    const commit = played.find((one) => hash.startsWith(one));
    for (const result of commit === undefined ? [] : await resultsOf(commit)) {
      if (!newest.has(result.name)) newest.set(result.name, result);
    }
  }
  return [...newest.values()];
}

async function resultsOf(commit: string): Promise<readonly Result[]> {
  const folder = join(FOLDER, commit);
  const files = await readdir(folder).catch(() => []);
  return await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as Result),
  );
}
