import type { FastifyInstance } from 'fastify';
import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import { access, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, isAbsolute } from 'node:path';
import { LONGEST_SOCKET_PATH } from '../defaults.ts';
import { QuiesceError } from '../errors.ts';
import { BACKLOG } from '../http/connections.ts';

/**
 * Prepares the path for a control socket: creates its directory (0700) if it is missing, and removes a
 * dead socket, one that no process listens on. It never removes anything else.
 *
 * @throws QuiesceError SOCKET_IN_USE where a living process listens; SOCKET_UNUSABLE where the path has
 *   something other than a socket, or no socket can be created there
 */
export async function claimSocket(path: string): Promise<void> {
  if (!isAbsolute(path)) throw unusable(path, 'the path is not absolute');
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) {
    throw unusable(path, `the path is longer than ${LONGEST_SOCKET_PATH} bytes`);
  }
  try {
    await makeDirectory(dirname(path));
    await access(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(path, `its directory cannot be used (${codeOf(error)})`, error);
  }
  const found = await look(path);
  if (!found) return;
  if (!found.isSocket()) throw unusable(path, 'something that is not a socket is there');
  await removeDead(path);
}

/** The `recursive` option of mkdir never returns where a parent refuses with ENOENT, as /proc does. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
}

async function look(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw unusable(path, `it cannot be examined (${codeOf(error)})`, error);
  }
}

async function removeDead(path: string): Promise<void> {
  const refusal = await knock(path);
  if (refusal === 'ENOENT') return;
  if (refusal === undefined || refusal === 'EAGAIN') {
    throw new QuiesceError('SOCKET_IN_USE', `Another process listens on ${path}.`, {
      field: 'QUIESCE_SOCKET',
    });
  }
  if (refusal !== 'ECONNREFUSED') {
    throw unusable(path, `a socket is there, and connecting to it fails (${refusal})`);
  }
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw unusable(path, `the dead socket there cannot be removed (${codeOf(error)})`, error);
  }
}

/** Connects. @returns `undefined` where a process listens, even a stopped one; otherwise the error's code */
function knock(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error) => resolve(codeOf(error)));
  });
}

/**
 * Listens on a claimed path. The socket has mode 0600 from the moment it exists.
 *
 * @throws QuiesceError SOCKET_IN_USE, SOCKET_UNUSABLE
 */
export async function listenOnSocket(
  app: Pick<FastifyInstance, 'server' | 'listen'>,
  path: string,
): Promise<void> {
  bindPrivately(app.server);
  try {
    await app.listen({ path, backlog: BACKLOG });
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') {
      throw new QuiesceError('SOCKET_IN_USE', `Another process took ${path}.`, {
        field: 'QUIESCE_SOCKET',
        cause: error,
      });
    }
    throw unusable(path, `it cannot be created (${codeOf(error)})`, error);
  }
}

/**
 * A chmod after bind() would leave a moment in which another user can connect, so the mode must come
 * from the umask. The umask belongs to the whole process, so it changes only for the synchronous call in
 * which Node binds: no other file can be created in that time.
 */
function bindPrivately(server: FastifyInstance['server']): void {
  const listen = server.listen.bind(server) as (...args: unknown[]) => typeof server;
  server.listen = ((...args: unknown[]) => {
    const umask = process.umask(0o177);
    try {
      return listen(...args);
    } finally {
      process.umask(umask);
    }
  }) as typeof server.listen;
}

function unusable(path: string, why: string, cause?: unknown): QuiesceError {
  return new QuiesceError('SOCKET_UNUSABLE', `The control socket ${path} cannot be used: ${why}.`, {
    field: 'QUIESCE_SOCKET',
    cause,
  });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? 'unknown';
}
