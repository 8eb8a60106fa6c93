import { describe, expect, it } from 'vitest';
import { isInside } from '../src/lib/paths.ts';

describe('isInside', () => {
  it.each([
    ['/data', '/data'],
    ['/data/', '/data'],
    ['/data/state', '/data'],
    ['/data/..state', '/data'],
    ['/data/a/../state', '/data/'],
    ['/anything', '/'],
  ])('%s is inside %s', (path, folder) => {
    expect(isInside(path, folder)).toBe(true);
  });

  it.each([
    ['/data2', '/data'],
    ['/data/../state', '/data'],
    ['/', '/data'],
    ['/state/data', '/data'],
  ])('%s is not inside %s', (path, folder) => {
    expect(isInside(path, folder)).toBe(false);
  });
});
