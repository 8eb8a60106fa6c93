import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

const REDIS = ['redis-server', 'valkey-server'];

/** Major versions of the embedded PostgreSQL in the `node_modules` folders above this program, ascending. */
export function embeddedMajors(program = process.argv[1] ?? ''): readonly number[] {
  const pattern = new RegExp(`^pg(\\d+)-${process.platform}-${process.arch}$`);
  const majors = foldersAbove(program).flatMap((folder) =>
    namesIn(join(folder, 'node_modules')).map((name) => Number(pattern.exec(name)?.[1] ?? 0)),
  );
  return majors.filter((major) => major > 0).toSorted((a, b) => a - b);
}

/** Whether this machine has a database server that the demo can use. */
export function demoCanRun(program = process.argv[1], path = process.env['PATH'] ?? ''): boolean {
  if (embeddedMajors(program).length > 0) return true;
  const folders = path.split(delimiter).filter((folder) => folder !== '');
  return folders.some((folder) => REDIS.some((name) => existsSync(join(folder, name))));
}

function foldersAbove(program: string): readonly string[] {
  let folder: string;
  try {
    folder = dirname(realpathSync(program));
  } catch {
    return [];
  }
  const folders = [folder];
  for (let up = dirname(folder); up !== folder; up = dirname(folder)) {
    folders.push(up);
    folder = up;
  }
  return folders;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
