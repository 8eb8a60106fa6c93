import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, serverUser } from '../../src/demo/embedded-postgres.ts';

const BINARIES = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'];

export interface Pooler {
  readonly port: number;
  stop(): Promise<void>;
}

/** A real PgBouncer in front of a server; everybody may in. */
export async function startPgBouncer(
  dir: string,
  server: { readonly host: string; readonly port: number },
  mode: 'session' | 'transaction' | 'statement',
  users: Readonly<Record<string, string>>,
): Promise<Pooler> {
  const binary = await find();
  const folder = join(dir, `bouncer-${mode}`);
  await mkdir(folder, { mode: 0o755 });
  const port = await freePort();
  const list = Object.entries(users).map(([name, password]) => `"${name}" "${password}"`);
  await writeFile(join(folder, 'users'), `${list.join('\n')}\n`);
  const config = [
    '[databases]',
    `* = host=${server.host} port=${server.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = plain',
    `auth_file = ${join(folder, 'users')}`,
    `admin_users = ${Object.keys(users).join(',')}`,
    `pool_mode = ${mode}`,
  ];
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(file, `${config.join('\n')}\n`);
  await chmod(folder, 0o755);
  const user = await serverUser();
  const owner = user ? { uid: user.uid, gid: user.gid } : {};
  const child = spawn(binary, [file], { ...owner, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  child.stdout.resume();
  await listening(port, child, () => log);
  return {
    port,
    stop: async () => {
      if (child.exitCode !== null) return;
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    },
  };
}

async function find(): Promise<string> {
  for (const path of BINARIES) {
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error('PgBouncer is missing. Install it: apt-get install -y pgbouncer');
}

async function listening(port: number, child: ChildProcess, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended: ${log()}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`pgbouncer does not listen: ${log()}`);
}
