import { bench } from './bench.ts';
import { doctor } from './doctor/index.ts';
import { drill } from './drill/index.ts';
import { files } from './files.ts';
import { group } from './group/index.ts';
import { installPage } from './install-page.ts';
import { main } from './main.ts';
import { notAtomic } from './not-atomic.ts';
import { policies } from './policies.ts';
import { restore } from './restore/index.ts';
import { restoreMark } from './restore-mark.ts';
import { restricted } from './restricted.ts';
import type { Story } from './story.ts';
import { together } from './together.ts';
import { ugly } from './ugly/index.ts';
import { volumes } from './volumes.ts';

/** In the order in which they are played. */
export const STORIES: readonly Story[] = [
  installPage,
  ...main,
  ...files,
  ...volumes,
  ...together,
  ...notAtomic,
  ...restricted,
  ...policies,
  ...ugly,
  restoreMark,
  ...doctor,
  ...group,
  ...restore,
  ...drill,
  ...bench,
];

/**
 * The stories that names stand for: a story's, or a group's.
 *
 * @throws Error that names an unknown one
 */
export function chosen(names: readonly string[], ci: boolean): readonly Story[] {
  for (const name of names) {
    if (STORIES.some((story) => story.name === name || story.group === name)) continue;
    throw new Error(`There is no story or group "${name}". --list shows all.`);
  }
  return STORIES.filter((story) => {
    if (names.length > 0) return names.includes(story.name) || names.includes(story.group);
    return !ci || story.inCi;
  });
}

export function listOf(stories: readonly Story[]): string {
  const width = Math.max(...stories.map(({ name }) => name.length));
  return stories
    .map(({ name, title, inCi }) => `${name.padEnd(width)}  ${inCi ? 'CI ' : '   '} ${title}\n`)
    .join('');
}
