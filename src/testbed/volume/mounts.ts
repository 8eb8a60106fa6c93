import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from '../os.ts';

/** Mount points of this process, for the moment it ends without having unmounted them. */
const mounted = new Set<string>();
let watching = false;

/** Unmounts it, lazily, should this process end first. Those mounted last go first. */
export function unmountAtExit(point: string): void {
  mounted.add(point);
  if (watching) return;
  watching = true;
  process.on('exit', () => {
    for (const one of [...mounted].toReversed()) spawnSync('umount', ['--lazy', one]);
  });
}

/** Leaves it mounted when this process ends. */
export function leaveMounted(point: string): void {
  mounted.delete(point);
}

/** All mount points of the system; none where there is no /proc. */
export async function mountPoints(): Promise<string[]> {
  const text = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) =>
      (line.split(' ')[1] ?? '').replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCodePoint(Number.parseInt(octal, 8)),
      ),
    );
}

/** Unmounts, waiting a moment for processes that are just ending; lazily when they do not end. */
export async function unmount(point: string): Promise<void> {
  for (let attempt = 0; (await mountPoints()).includes(point); attempt += 1) {
    await tool('umount', ...(attempt < 20 ? [] : ['--lazy']), point).catch(() => sleep(50));
    if (attempt > 40) throw new Error(`${point} cannot be unmounted`);
  }
  mounted.delete(point);
}
