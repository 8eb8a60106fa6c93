import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { makeCertificates } from '../../support/certificates.ts';
import {
  aclLine,
  redisFolder,
  RedisServer,
  type RedisServerOptions,
  SERVERS,
  USER,
} from '../../support/redis.ts';
import { TestSidecar } from '../../support/sidecar.ts';

const undo: (() => unknown)[] = [];

afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

const AOF = ['appendonly yes', 'save ""'];
const { password: PASSWORD } = USER;

async function startWithSidecar(
  options: Omit<RedisServerOptions, 'dir'>,
  env: (server: RedisServer, dir: string) => Record<string, string>,
  until: 'live' | 'ready' = 'ready',
) {
  const { dir, remove } = await redisFolder();
  undo.push(remove);
  const server = await RedisServer.start({ ...options, dir: join(dir, 'data') });
  undo.push(() => server.kill());
  await mkdir(join(dir, 'q'));
  const sidecar = new TestSidecar(join(dir, 'q'), env(server, dir));
  undo.push(() => sidecar.signal('SIGKILL'));
  await sidecar.start(until);
  return { dir, server, sidecar };
}

async function cycle(sidecar: TestSidecar): Promise<unknown> {
  const held = await sidecar.api('POST', '/v1/freeze', {});
  if (held.status !== 200) return held.body;
  return (await sidecar.api('POST', '/v1/thaw', {})).body.verdict;
}

/** The commands that a line of ACL rules allows, sorted. */
function rulesIn(line: string): string[] {
  return [...line.matchAll(/ ?\+(\S+)/g)].map(([, name = '']) => name).toSorted();
}

describe.each(SERVERS)('%s', (binary) => {
  it.each([
    ['an AOF', AOF],
    ['RDB only', ['appendonly no', 'save 3600 1']],
  ])(
    'the user of roles/redis.acl may do everything a freeze needs and cannot touch the data, with %s',
    async (_name, config) => {
      const { server, sidecar } = await startWithSidecar(
        { binary, config: [...config, await aclLine()] },
        (server, dir) => ({
          ...server.env({ name: 'quiesce', password: PASSWORD }),
          QUIESCE_DATA_DIR: join(dir, 'data'),
        }),
      );
      expect(await cycle(sidecar)).toBe('consistent');
      expect((await sidecar.api('GET', '/v1/metadata')).body.notAllowed).toEqual([]);
      const user = server.connect();
      await user.call('AUTH', 'quiesce', PASSWORD);
      await expect(user.get('any')).rejects.toThrow('NOPERM');
      await expect(user.set('any', '1')).rejects.toThrow('NOPERM');
      await expect(user.call('FLUSHALL')).rejects.toThrow('NOPERM');
      user.disconnect();
      expect(sidecar.output).not.toContain(PASSWORD);
    },
  );

  it('the engine sends every command that roles/redis.acl allows, and no other', async () => {
    const sent = new Set<string>();
    const allowed = rulesIn(await aclLine());
    for (const config of [AOF, ['appendonly no', 'save 3600 1']]) {
      const { server, sidecar } = await startWithSidecar(
        { binary, config: [...config, await aclLine()] },
        (server, dir) => ({
          ...server.env({ name: 'quiesce', password: PASSWORD }),
          QUIESCE_DATA_DIR: join(dir, 'data'),
        }),
      );
      await server.admin.call('CONFIG', 'RESETSTAT');
      expect(await cycle(sidecar)).toBe('consistent');
      await sidecar.api('GET', '/v1/metadata');
      const { body: kept } = await sidecar.api('GET', '/v1/receipts');
      await sidecar.api('POST', '/v1/verify', { receipt: kept.receipts[0] });
      const stats = await server.admin.info('commandstats');
      for (const [, name = ''] of stats.matchAll(/^cmdstat_([^:]+):/gm)) sent.add(name);
      expect(await server.admin.call('ACL', 'LOG')).toEqual([]);
    }
    // Signing in needs no rule; the test itself reset the statistics.
    sent.delete('auth');
    sent.delete('config|resetstat');
    expect([...sent].toSorted()).toEqual(allowed);
  });

  it('sampling keys needs exactly the additional rights in the documentation', async () => {
    const guide = await readFile('docs/engines/redis.md', 'utf8');
    const more = /REDIS_SAMPLE_KEYS`\s+also\s+needs\s+`([^`]+)`/.exec(guide)?.[1] ?? '';
    const { server, sidecar } = await startWithSidecar(
      { binary, config: [...AOF, `${await aclLine()} ${more}`] },
      (server) => ({
        ...server.env({ name: 'quiesce', password: PASSWORD }),
        REDIS_SAMPLE_KEYS: '10',
      }),
    );
    await server.admin.set('string', 'x');
    await server.admin.rpush('list', 'x');
    await server.admin.sadd('set', 'x');
    await server.admin.zadd('zset', 1, 'x');
    await server.admin.hset('hash', 'field', 'x');
    await server.admin.xadd('stream', '*', 'field', 'x');
    await server.admin.call('CONFIG', 'RESETSTAT');
    const held = await sidecar.api('POST', '/v1/freeze', {});
    expect(Object.keys(held.body.position.sample)).toHaveLength(6);
    const thawed = await sidecar.api('POST', '/v1/thaw', {});
    const verified = await sidecar.api('POST', '/v1/verify', {
      receipt: thawed.body,
      amcheck: true,
    });
    expect(verified.status).toBe(200);
    expect(await server.admin.call('ACL', 'LOG')).toEqual([]);
    const stats = await server.admin.info('commandstats');
    expect(rulesIn(more)).not.toEqual([]);
    for (const rule of rulesIn(more)) expect(stats).toContain(`cmdstat_${rule}:`);
  });

  it('a server with only a password is frozen, and the password is not printed', async () => {
    const { sidecar } = await startWithSidecar(
      { binary, config: [...AOF, `requirepass ${PASSWORD}`], password: PASSWORD },
      (server) => ({ ...server.env(), REDIS_PASSWORD: PASSWORD }),
    );
    expect(await cycle(sidecar)).toBe('consistent');
    expect(JSON.stringify((await sidecar.api('GET', '/v1/metadata')).body)).not.toContain(PASSWORD);
  });

  it('a URL supplies user and password', async () => {
    const { sidecar } = await startWithSidecar(
      { binary, config: [...AOF, await aclLine()] },
      (server) => ({
        QUIESCE_ENGINE: 'redis',
        REDIS_URL: `redis://quiesce:${PASSWORD}@127.0.0.1:${server.port}`,
      }),
    );
    expect(await cycle(sidecar)).toBe('consistent');
  });

  it('a password echoed by a server that does not know AUTH is never printed', async () => {
    const { sidecar } = await startWithSidecar(
      { binary, config: [...AOF, 'rename-command AUTH ""'] },
      (server) => server.env({ name: 'quiesce', password: PASSWORD }),
      'live',
    );
    const { body } = await sidecar.api('POST', '/v1/freeze', {});
    expect(body.error).toMatchObject({
      code: 'ENGINE_PRIVILEGE',
      message: "The server does not offer AUTH: ERR unknown command 'AUTH'.",
    });
    expect(sidecar.output + JSON.stringify(body)).not.toContain(PASSWORD);
  });

  it('a server without CONFIG is frozen with the sidecar’s own fsync, and the receipt says what is not guarded', async () => {
    const { sidecar } = await startWithSidecar(
      { binary, config: [...AOF, 'rename-command CONFIG ""'] },
      (server, dir) => ({ ...server.env(), QUIESCE_DATA_DIR: join(dir, 'data') }),
    );
    const { body } = await sidecar.api('POST', '/v1/freeze', {});
    expect(body).toMatchObject({
      verdict: 'held',
      reasons: ['rewrites-not-guarded'],
      position: { fsyncedBy: ['sidecar'] },
    });
    expect((await sidecar.api('POST', '/v1/thaw', {})).body.verdict).toBe('consistent');
  });

  it('a server without CONFIG whose volume is not mounted is refused', async () => {
    const { sidecar } = await startWithSidecar(
      { binary, config: [...AOF, 'rename-command CONFIG ""'] },
      (server) => server.env(),
    );
    expect(await cycle(sidecar)).toMatchObject({ error: { code: 'ENGINE_PRIVILEGE' } });
  });

  it('REDIS_RENAMED_COMMANDS gives the names of renamed commands', async () => {
    const { sidecar } = await startWithSidecar(
      { binary, config: [...AOF, 'rename-command CONFIG c-7f', 'rename-command CLIENT k-2e'] },
      (server) => ({ ...server.env(), REDIS_RENAMED_COMMANDS: 'CONFIG=c-7f,CLIENT=k-2e' }),
    );
    expect(await cycle(sidecar)).toBe('consistent');
  });

  it('a server that cannot pause writers is refused and left unchanged', async () => {
    const { server, sidecar } = await startWithSidecar(
      { binary, config: [...AOF, 'rename-command CLIENT ""'] },
      (server) => server.env(),
    );
    expect(await cycle(sidecar)).toMatchObject({ error: { code: 'ENGINE_PRIVILEGE' } });
    expect(await server.config('auto-aof-rewrite-percentage')).toBe('100');
  });

  it('TLS is verified against the given authority, and a server of another authority is refused', async () => {
    const { dir, remove } = await redisFolder();
    undo.push(remove);
    await rm(dir, { recursive: true });
    await makeCertificates(dir);
    const file = (name: string): string => join(dir, name);
    const ca = await readFile(file('ca.crt'), 'utf8');
    const { sidecar } = await startWithSidecar(
      {
        binary,
        tls: { ca },
        config: [
          ...AOF,
          `tls-cert-file ${file('server.crt')}`,
          `tls-key-file ${file('server.key')}`,
          `tls-ca-cert-file ${file('ca.crt')}`,
          'tls-auth-clients no',
        ],
      },
      (server) => ({ ...server.env(), REDIS_TLS: 'true', REDIS_TLS_CA: file('ca.crt') }),
    );
    expect(await cycle(sidecar)).toBe('consistent');
    await sidecar.stop();
    sidecar.env['REDIS_TLS_CA'] = file('otherca.crt');
    await sidecar.start('live');
    expect(await cycle(sidecar)).toMatchObject({ error: { code: 'ENGINE_TLS' } });
  });
});
