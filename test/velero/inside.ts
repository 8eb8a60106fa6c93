import { readFile, writeFile } from 'node:fs/promises';
import { installQuiesce } from './cluster/chart.ts';
import { bringUp } from './cluster/up.ts';
import { installVelero } from './cluster/velero.ts';
import { Tools } from './kubectl.ts';
import { type Programs, state } from './layout.ts';
import type { Options } from './options.ts';
import { play, type Played } from './play.ts';
import { commitHere, keepResult, removeOldResults } from './results.ts';
import { say } from './say.ts';
import { chosen } from './stories/index.ts';

/** What the outer process has made ready for the run in the sandbox. */
export interface Prepared {
  readonly programs: Programs;
  readonly images: readonly string[];
}

/** Brings up the cluster, unless one is kept, and plays the stories. @returns the exit code */
export async function playInside(options: Options): Promise<number> {
  const stories = options.none ? [] : chosen(options.stories, options.ci);
  const { programs, images } = JSON.parse(
    await readFile(state('prepared.json'), 'utf8'),
  ) as Prepared;
  const tools = new Tools(programs);
  const commit = await commitHere();
  await removeOldResults();
  const upSeconds = options.kept ? null : await install(tools, images, options.policies);
  const played: Played[] = [];
  for (const story of stories) {
    const seen = await play(tools, story);
    played.push(seen);
    await keepResult({ ...seen, commit, at: new Date().toISOString(), upSeconds });
  }
  const failed = played.filter(({ ok }) => !ok);
  if (played.length > 0) {
    say(`${played.length - failed.length} of ${played.length} stories passed`);
  }
  for (const { name } of failed) say(`FAILED: ${name}`);
  return failed.length === 0 ? 0 : 1;
}

async function install(
  tools: Tools,
  images: readonly string[],
  policies: boolean,
): Promise<number> {
  const from = performance.now();
  await writeFile(state('env.sh'), environment(tools));
  await bringUp(tools, images, policies);
  say('quiesce, as docs/install.md says, and Velero');
  await Promise.all([installQuiesce(tools), installVelero(tools)]);
  const seconds = Math.round((performance.now() - from) / 1_000);
  say(`the cluster is up after ${seconds} s`);
  return seconds;
}

function environment({ env }: Tools): string {
  return Object.entries(env)
    .map(([name, value]) => `export ${name}='${value}'\n`)
    .join('');
}
