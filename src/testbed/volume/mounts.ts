import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { tool } from '../os.ts';

/** Mount points that this process must unmount when it exits. */
const mounted = new Set<string>();
let watching = false;

/** Unmounts the point lazily if this process exits before {@link unmount}; last mounted, first out. */
export function unmountAtExit(point: string): void {
  mounted.add(point);
  if (watching) return;
  watching = true;
  process.on('exit', () => {
    for (const one of [...mounted].toReversed()) spawnSync('umount', ['--lazy', one]);
  });
}

/** Keeps the point mounted when this process exits. */
export function leaveMounted(point: string): void {
  mounted.delete(point);
}

/** All mount points of the system; none on a system without /proc. */
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

/** Unmounts the point. Waits about a second for processes that still use it, then unmounts lazily. */
export async function unmount(point: string): Promise<void> {
  for (let attempt = 0; (await mountPoints()).includes(point); attempt += 1) {
    await tool('umount', ...(attempt < 20 ? [] : ['--lazy']), point).catch(() => sleep(50));
    if (attempt > 40) throw new Error(`cannot unmount ${point}`);
  }
  mounted.delete(point);
}
