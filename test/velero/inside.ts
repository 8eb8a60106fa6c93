import { readFile, writeFile } from 'node:fs/promises';
import { bringUp } from './cluster/up.ts';
import { Tools } from './kubectl.ts';
import { type Programs, state } from './layout.ts';
import type { Options } from './options.ts';
import { say } from './say.ts';

/** What the outer process has made ready for the run in the sandbox. */
export interface Prepared {
  readonly programs: Programs;
  readonly images: readonly string[];
}

/** Brings up the cluster, unless one is kept, and plays the stories. @returns the exit code */
export async function playInside(options: Options): Promise<number> {
  const { programs, images } = JSON.parse(
    await readFile(state('prepared.json'), 'utf8'),
  ) as Prepared;
  const tools = new Tools(programs);
  if (!options.kept) {
    await writeFile(state('env.sh'), environment(tools));
    await bringUp(tools, images, options.policies);
    say('the cluster is up');
  }
  return 0;
}

function environment({ env }: Tools): string {
  return Object.entries(env)
    .map(([name, value]) => `export ${name}='${value}'\n`)
    .join('');
}

export async function saveResults(): Promise<void> {}
