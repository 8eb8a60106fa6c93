import { readFile, stat } from 'node:fs/promises';
import type { PostgresSettings } from './settings.ts';

/**
 * The password for a connection: PGPASSWORD, else the first line of the password file that matches
 * (PostgreSQL 18, section 32.16 "The Password File"). Like libpq, ignores a file that others may
 * read. `detail` says where the password came from, or why there is none.
 */
export async function findPassword(
  settings: PostgresSettings,
): Promise<{ password: string | undefined; detail: string }> {
  if (settings.password !== undefined) return { password: settings.password, detail: 'PGPASSWORD' };
  const { passfile } = settings;
  const info = await stat(passfile).catch(() => undefined);
  if (!info?.isFile())
    return { password: undefined, detail: `PGPASSWORD is unset and there is no file ${passfile}` };
  if ((info.mode & 0o077) !== 0) {
    return {
      password: undefined,
      detail: `${passfile} is ignored because others may read it: set its permissions to 0600`,
    };
  }
  const text = await readFile(passfile, 'utf8').catch(() => undefined);
  if (text === undefined) return { password: undefined, detail: `${passfile} cannot be read` };
  const { host, hostaddr, port, database, user } = settings;
  const shown = host ?? hostaddr ?? 'localhost';
  const wanted = [
    shown === '/var/run/postgresql' || shown === '/tmp' ? 'localhost' : shown,
    String(port),
    database,
    user,
  ];
  for (const line of text.split(/\r?\n/)) {
    const fields = splitLine(line);
    if (
      fields.length === 5 &&
      wanted.every((want, at) => fields[at] === '*' || fields[at] === want)
    ) {
      return { password: fields[4], detail: passfile };
    }
  }
  return { password: undefined, detail: `no line of ${passfile} matches` };
}

/**
 * host:port:database:user:password, with `\:` and `\\` as escapes. The password may contain colons.
 */
function splitLine(line: string): string[] {
  if (line.startsWith('#')) return [];
  const fields: string[] = [];
  let field = '';
  for (let at = 0; at < line.length; at += 1) {
    if (line[at] === ':' && fields.length < 4) {
      fields.push(field);
      field = '';
      continue;
    }
    if (line[at] === '\\' && at + 1 < line.length) at += 1;
    field += line[at] ?? '';
  }
  return [...fields, field];
}
