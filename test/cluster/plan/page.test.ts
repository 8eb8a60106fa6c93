import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { APPLICATION_FLAGS } from '../../../src/commands/application-flags.ts';
import { cliPath } from '../../../src/testbed/processes.ts';
import { read } from '../../support/docs/repository.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);
const PAGE = read('docs/plan.md');
const PARTS = 'src/cluster/plan';

const blocks = (kind: string): readonly string[] =>
  [...PAGE.matchAll(new RegExp(`^\`\`\`${kind}\\n([^]*?)^\`\`\``, 'gm'))].map(
    ([, text = '']) => text,
  );

describe('docs/plan.md', () => {
  it('shows what its commands print', async () => {
    const [shop = '', schedule = ''] = blocks('yaml');
    const folder = await makeTempDir();
    await writeFile(join(folder, 'shop.yaml'), shop);
    await writeFile(join(folder, 'schedule.yaml'), schedule);
    const [, ...commands] = blocks('sh');
    const outputs = blocks('text');
    expect(commands).toHaveLength(2);
    for (const [at, command] of commands.entries()) {
      const [program, ...args] = command.trim().split(' ');
      expect(program).toBe('quiesce');
      const { stdout } = await run(process.execPath, [cliPath(), ...args], { cwd: folder });
      expect(stdout.trimEnd()).toBe(outputs[at]?.trimEnd());
    }
  });

  it('names flags that are there in every other command', () => {
    const [first = ''] = blocks('sh');
    const flags = [...first.matchAll(/ --([a-z-]+)/g)].map(([, name = '']) => name);
    expect(flags.length).toBeGreaterThan(1);
    expect(flags.filter((name) => !Object.hasOwn(APPLICATION_FLAGS, name))).toEqual([]);
  });

  it('has every code of a problem, and no other', () => {
    const files = readdirSync(PARTS).filter((name) => name.endsWith('.ts'));
    const source = files.map((name) => read(`${PARTS}/${name}`)).join('\n');
    const used = [...source.matchAll(/\bcode: '([A-Z_]+)'/g)].map(([, code = '']) => code);
    const table = PAGE.slice(PAGE.indexOf('## Problems'), PAGE.indexOf('## JSON'));
    const told = [...table.matchAll(/`([A-Z]+_[A-Z_]+)`/g)].map(([, code = '']) => code);
    expect([...new Set(told)].toSorted()).toEqual([...new Set(used)].toSorted());
  });
});
