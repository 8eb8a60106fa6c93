import { QuiesceError } from '../../../errors.ts';
import { describeErrno } from '../../../lib/durable-files.ts';
import { hashOf } from './known.ts';
import type { Found } from './walk.ts';

const MOST = 1_000;

interface Failed extends Pick<Found, 'path' | 'name'> {
  readonly error: unknown;
  /** Of the state in which the file was; `undefined` where it is not known. */
  readonly hash: number | undefined;
}

/**
 * The files whose data the kernel could not write. It reports that once: the next fsync of such a file
 * succeeds, although its data is still not on the disk. So a file stays failed until it is written again.
 */
export class SealFailures {
  readonly #files = new Map<string, { readonly hash: number; readonly error: unknown }>();

  /** @returns the error to throw */
  add({ path, name, error, hash }: Failed): QuiesceError {
    if (hash !== undefined && this.#files.size < MOST) this.#files.set(path, { hash, error });
    return notSynced(name, error);
  }

  /** @throws QuiesceError VOLUME_NOT_SYNCED where the file failed and was not written since */
  require({ path, name, info }: Pick<Found, 'path' | 'name' | 'info'>): void {
    const failed = this.#files.get(path);
    if (failed === undefined) return;
    if (failed.hash === hashOf(info)) throw notSynced(name, failed.error);
    this.#files.delete(path);
  }
}

export function notSynced(name: string, error: unknown): QuiesceError {
  return new QuiesceError(
    'VOLUME_NOT_SYNCED',
    `${name} on the data volume could not be written to the disk: ${describeErrno(error)}. A snapshot would lack it.`,
    { cause: error },
  );
}
