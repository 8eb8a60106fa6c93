import { contentOf } from './inputs.ts';

/** How one image is made. */
export interface Recipe {
  /** The name of the archive. */
  readonly name: string;
  /** Everything that the image is made from, in short. Another text means another image. */
  readonly inputs: string;
  /** Writes the archive; `to` is where buildah puts the image. */
  readonly make: (to: string) => Promise<void>;
}

/** The binaries of Velero: absolute paths. */
export interface Programs {
  readonly velero: string;
  readonly veleroRestoreHelper: string;
  readonly veleroPluginForAws: string;
}

/** The recipe's own files, in the folder of the images, and what every recipe uses. */
export async function filesOf(...files: readonly string[]): Promise<string> {
  const all = [...files, 'store.ts', 'names.ts'];
  return await contentOf(...all.map((file) => `test/velero/images/${file}`));
}
