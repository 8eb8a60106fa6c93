import { createHash } from 'node:crypto';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing } from '../../../../lib/durable-files.ts';
import { openRegular, readRegular } from '../../../../lib/regular-file.ts';
import { BASE, MANIFEST } from './folder.ts';

const manifestSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  folders: z.array(z.string()),
  links: z.array(z.object({ path: z.string(), target: z.string() })),
  /** Paths relative to `base/`; sizes in bytes; SHA-256 in hex. */
  files: z.array(z.object({ path: z.string(), size: z.number(), sha256: z.string() })),
});
/** Every entry of a staged backup. The receipt has the manifest's own SHA-256. */
export type Manifest = z.infer<typeof manifestSchema>;

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** @returns the manifest that the receipt names, or a sentence on why it cannot be read. */
export async function readManifest(staging: string, sha256: string): Promise<Manifest | string> {
  const path = join(staging, MANIFEST);
  let text: string;
  try {
    text = await readRegular(path);
  } catch (error) {
    if (isMissing(error)) return `${path} is missing`;
    throw error;
  }
  if (digest(text) !== sha256) return `${path} is not the manifest in the receipt`;
  const parsed = manifestSchema.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : `${path} cannot be understood`;
}

/** Called after each file with the bytes compared so far. */
type OnBytes = (done: number) => void;

/**
 * Compares a staged backup with its manifest: presence, kind and size of every entry. With `deep`
 * also compares every checksum, and looks for entries that are not in the manifest.
 *
 * @returns the first difference as a sentence with the file's name; `null` where there is none.
 */
export async function compareStaged(
  staging: string,
  manifest: Manifest,
  deep: boolean,
  signal: AbortSignal,
  onBytes: OnBytes = () => undefined,
): Promise<string | null> {
  const base = join(staging, BASE);
  for (const path of ['', ...manifest.folders]) {
    const info = await look(join(base, path));
    if (!info?.isDirectory()) return `${join(base, path)} is missing`;
  }
  for (const { path, target } of manifest.links) {
    const found = await readlink(join(base, path)).catch(() => undefined);
    if (found !== target) return `${join(base, path)} is missing or leads elsewhere`;
  }
  let done = 0;
  for (const { path, size, sha256 } of manifest.files) {
    signal.throwIfAborted();
    const name = join(base, path);
    const info = await look(name);
    if (!info?.isFile()) return `${name} is missing`;
    if (info.size !== size) return `${name} has ${info.size} bytes, and had ${size} when staged`;
    if (deep && (await hashFile(name, signal)) !== sha256) return `${name} has other content`;
    onBytes((done += size));
  }
  return deep ? await findUnlisted(base, manifest) : null;
}

async function findUnlisted(base: string, manifest: Manifest): Promise<string | null> {
  const known = new Set([
    ...manifest.folders,
    ...manifest.files.map(({ path }) => path),
    ...manifest.links.map(({ path }) => path),
  ]);
  for (const folder of ['', ...manifest.folders]) {
    for (const name of await readdir(join(base, folder))) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (!known.has(path)) return `${join(base, path)} is not part of the staged backup`;
    }
  }
  return null;
}

async function look(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  const file = await openRegular(path);
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(1 << 20);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
