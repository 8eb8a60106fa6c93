import { posix } from 'node:path';

/** A path as the kubelet mounts it: without `..`, doubled and trailing slashes. */
export function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 ? normal.replace(/\/$/, '') : normal;
}
