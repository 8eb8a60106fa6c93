import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type IForbiddenRuleType, cruise } from 'dependency-cruiser';
import { describe, expect, it } from 'vitest';
import config from '../.dependency-cruiser.mjs';
import { PARTS } from '../scripts/architecture.mjs';
import { importRules, partOf } from '../scripts/architecture-rules.mjs';

/** Names of the rules that these files, the name of each with what it says, break. */
async function broken(files: Record<string, string>): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'quiesce-imports-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const { output } = await cruise(['src'], {
      ruleSet: { forbidden: config.forbidden as IForbiddenRuleType[] },
      validate: true,
      baseDir: folder,
      tsPreCompilationDeps: true,
    });
    if (typeof output === 'string') throw new Error(output);
    expect(output.summary.totalCruised).toBe(Object.keys(files).length);
    return output.summary.violations.map(({ rule }) => rule.name);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A file in the first folder of a part. */
function fileOf(place: string): string {
  return place.endsWith('/') ? `${place}some-file.ts` : place;
}

describe('the parts of src/', () => {
  it('hold every file, each in one part', async () => {
    const entries = await readdir('src', { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.length).toBeGreaterThan(100);
    expect(files.filter((file) => partOf(file) === undefined)).toEqual([]);
    const places = PARTS.flatMap(({ at }) => at);
    expect(new Set(places).size).toBe(places.length);
  });

  it('name what is there only', () => {
    const places = PARTS.flatMap(({ at, may = [], types = [] }) => [...at, ...may, ...types]);
    expect(places.filter((place) => !existsSync(place))).toEqual([]);
  });

  it.each([
    ['src/freeze/', 'src/http/'],
    ['src/engines/redis/', 'src/freeze/'],
    ['src/engines/redis/', 'src/engines/mongodb/'],
    ['src/engines/shared/', 'src/engines/redis/'],
    ['src/http/', 'src/sidecar/'],
    ['src/sidecar/', 'src/engines/redis/'],
    ['src/commands/', 'src/engines/postgres/'],
    ['src/config/', 'src/engines/index.ts'],
    ['src/receipt/', 'src/engines/engine.ts'],
    ['src/sidecar/', 'src/cluster/objects/'],
    ['src/lib/', 'src/receipt/'],
    ['src/testbed/', 'src/demo/'],
  ])('%s may not import %s', async (from, to) => {
    const target = `../`.repeat(from.split('/').length - 1) + fileOf(to);
    const names = await broken({
      [fileOf(from)]: `import { a } from '${target}';\nexport const b = a;\n`,
      [fileOf(to)]: `export const a = 1;\n`,
    });
    expect(names).toContainEqual(expect.stringMatching(/imports too much|engines-/));
  });

  it('may import the types of what the table marks so, and nothing else of it', async () => {
    const engine = {
      'src/engines/engine.ts': 'export interface A { a: 1 }\nexport const a = 1;\n',
    };
    const type = "import type { A } from '../engines/engine.ts';\nexport type B = A;\n";
    expect(await broken({ ...engine, 'src/freeze/b.ts': type })).toEqual([]);
    const value = "import { a } from '../engines/engine.ts';\nexport const b = a;\n";
    expect(await broken({ ...engine, 'src/freeze/b.ts': value })).toEqual([
      'src/freeze/ imports more than types',
    ]);
  });

  it('have rules of their own each', () => {
    const names = importRules().map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThanOrEqual(PARTS.length);
  });
});

describe('the import rules', () => {
  it('refuse a circle of types', async () => {
    const names = await broken({
      'src/lib/a.ts': "import type { B } from './b.ts';\nexport type A = B;\n",
      'src/lib/b.ts': "import type { A } from './a.ts';\nexport type B = A | 1;\n",
    });
    expect(names).toContain('no-circular');
  });
});
