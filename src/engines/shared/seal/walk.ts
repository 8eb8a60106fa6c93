import type { Dirent, Stats } from 'node:fs';
import { lstat, opendir, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { isMissing } from '../../../lib/durable-files.ts';
import { isInside } from '../../../lib/paths.ts';
import { VOLUME_FOLDER } from '../../../receipt/volume.ts';
import type { OwnFiles } from '../../engine.ts';
import { isForeign } from '../foreign-entries.ts';

/** A file or a folder that a copy of the volume may contain. */
export interface Place {
  readonly path: string;
  /** The path from the root, with a slash at the end of a folder's; absolute where it is outside the root. */
  readonly name: string;
  readonly folder: boolean;
}

export interface Found extends Place {
  readonly info: Stats;
}

/** Something that could not be looked at. */
export interface Hidden extends Place {
  readonly error: unknown;
}

export interface WalkOptions {
  readonly root: string;
  readonly ownFiles: OwnFiles;
  /** Also enters the other file systems that are mounted below the root. */
  readonly acrossVolumes: boolean;
}

/**
 * The files below a folder. Leaves out what the engine syncs itself, `.quiesce/`, what never belongs to a
 * database, and everything that is neither a regular file nor a folder.
 */
export class Walk {
  readonly #options: WalkOptions;
  #root: string;
  #device = 0;
  readonly #folders: string[] = [];

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#root = options.root;
  }

  /**
   * Yields every file and, after the files in it, every folder. A link into the root leads to a file that is
   * found anyway; a file elsewhere on the same file system is followed, because a copy of that file system
   * contains it too.
   */
  async *places(): AsyncGenerator<Place | Hidden> {
    try {
      this.#root = await realpath(this.#options.root);
      this.#device = (await stat(this.#root)).dev;
    } catch (error) {
      // Without a volume there is nothing to sync; the layout of the engine says so.
      if (!isMissing(error)) yield { ...this.#place(this.#root, true), error };
      return;
    }
    this.#folders.push(this.#root);
    for (;;) {
      const path = this.#folders.pop();
      if (path === undefined) return;
      yield* this.#folder(path);
    }
  }

  async *#folder(path: string): AsyncGenerator<Place | Hidden> {
    const place = this.#place(path, true);
    try {
      // Another program may have put a link or another volume there since the listing.
      const found = await this.inspect(place);
      if (found === undefined) return;
      for await (const entry of await opendir(path, { bufferSize: 256 })) {
        if (await this.#isLeftOut(path, entry.name)) continue;
        if (entry.isFile()) yield this.#place(join(path, entry.name), false);
        else yield* this.#other(join(path, entry.name), entry);
      }
      yield place;
    } catch (error) {
      if (!isMissing(error)) yield { ...place, error };
    }
  }

  async #isLeftOut(folder: string, name: string): Promise<boolean> {
    if (name === VOLUME_FOLDER || isForeign(name)) return true;
    const beside = async (other: string): Promise<boolean> =>
      (await lstat(join(folder, other)).catch(() => undefined)) !== undefined;
    return await this.#options.ownFiles({ name, beside });
  }

  async *#other(path: string, entry: Dirent | Stats): AsyncGenerator<Place> {
    if (entry.isDirectory()) this.#folders.push(path);
    else if (entry.isSymbolicLink()) yield* this.#target(path);
    else if (entry.isFile()) yield this.#place(path, false);
    else if (isOfUnknownType(entry)) {
      // Some network file systems do not tell the type in a listing.
      const info = await lstat(path).catch(() => undefined);
      if (info) yield* this.#other(path, info);
    }
  }

  async *#target(link: string): AsyncGenerator<Place> {
    const path = await realpath(link).catch(() => undefined);
    // A link may have its target in the server's container only.
    if (path === undefined || isInside(path, this.#root)) return;
    const info = await stat(path).catch(() => undefined);
    // A folder elsewhere is not entered: nothing says how much of the disk is in it.
    if (info?.isFile() !== true || info.dev !== this.#device) return;
    yield this.#place(path, false);
    yield this.#place(dirname(path), true);
  }

  /** @returns `undefined`: it is gone, is something else by now, or is not in the copy */
  async inspect(place: Place): Promise<Found | undefined> {
    let info: Stats;
    try {
      info = await lstat(place.path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    if (place.folder ? !info.isDirectory() : !info.isFile()) return undefined;
    if (info.dev !== this.#device && !this.#options.acrossVolumes) return undefined;
    return { ...place, info };
  }

  #place(path: string, folder: boolean): Place {
    const name = isInside(path, this.#root) ? relative(this.#root, path) || '.' : path;
    return { path, folder, name: folder ? `${name}/` : name };
  }
}

function isOfUnknownType(entry: Dirent | Stats): boolean {
  return (
    !entry.isBlockDevice() && !entry.isCharacterDevice() && !entry.isFIFO() && !entry.isSocket()
  );
}
