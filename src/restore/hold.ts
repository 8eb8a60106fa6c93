import { readFile } from 'node:fs/promises';
import { lookUntil } from '../lib/deadline.ts';
import { namesFurther, parseRestoreMark } from '../receipt/restore-mark.ts';

const LOOK_EVERY_MS = 500;

/**
 * Waits until the file names one of the restores that made the pod. An empty file, or a name that an earlier
 * restore left, is no release.
 */
export async function holdUntilNamed(
  file: string,
  mark: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const own = parseRestoreMark(mark) ?? null;
  const look = async (): Promise<true | undefined> => {
    const named = (await readFile(file, 'utf8').catch(() => '')).trim();
    return named !== '' && !namesFurther(named, own) ? true : undefined;
  };
  await lookUntil(look, LOOK_EVERY_MS, signal);
}
