import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { tryLock } from '../../../src/lib/file-lock.ts';

/** Waits for the lock, which ends with this process. @returns what gives it back */
export async function lockImages(path: string, say: (line: string) => void): Promise<() => void> {
  const descriptor = openSync(path, 'w');
  for (let told = false; !tryLock(descriptor); told = true) {
    if (!told) say('waiting for another process that makes images');
    await sleep(500);
  }
  return () => closeSync(descriptor);
}
