import { resolve, sep } from 'node:path';

/** Whether `path` is `folder` itself or below it. Compares the text only: links are not followed. */
export function isInside(path: string, folder: string): boolean {
  const inner = resolve(path);
  const outer = resolve(folder);
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep);
}
