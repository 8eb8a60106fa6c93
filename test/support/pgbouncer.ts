import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdtemp, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { freePort, serverUser } from '../../src/testbed/postgres/server.ts';

const BINARIES = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'];

export interface Pooler {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * A real PgBouncer in front of a server, which accepts every client. If it cannot be installed, a
 * stand-in that reports its own process id, as every pooler does; it says that it is one.
 */
export async function startPgBouncer(
  dir: string,
  server: { readonly host: string; readonly port: number },
  mode: 'session' | 'transaction' | 'statement',
  users: Readonly<Record<string, string>>,
): Promise<Pooler> {
  const binary = await find();
  if (binary === undefined) return await standIn(server);
  const folder = await mkdtemp(join(dir, `bouncer-${mode}-`));
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

async function find(): Promise<string | undefined> {
  for (const path of BINARIES) {
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/** A proxy that reports its own process id, as a pooler does. It is not PgBouncer. */
async function standIn(server: { readonly host: string; readonly port: number }): Promise<Pooler> {
  process.stderr.write(
    'PgBouncer is not installed: a stand-in that announces another process id is used instead.\n',
  );
  const keyData = Buffer.from([0x4b, 0, 0, 0, 12]);
  const proxy = createServer((client) => {
    const upstream = connect(server.port, server.host);
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      const at = chunk.indexOf(keyData);
      if (at >= 0) chunk.writeUInt32BE(chunk.readUInt32BE(at + 5) + 1, at + 5);
      client.write(chunk);
    });
    upstream.on('close', () => client.destroy());
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  return {
    port,
    stop: async () => {
      proxy.close();
      await once(proxy, 'close');
    },
  };
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
