import { describe, expect, it } from 'vitest';
import { parseSettings } from '../../../src/engines/redis/connection/settings.ts';

const names = (env: Record<string, string>): string[] =>
  parseSettings(env).issues.map(({ name }) => name);

describe('the settings of Redis', () => {
  it('without settings the server is the one on this machine', () => {
    expect(parseSettings({})).toMatchObject({
      settings: { host: '127.0.0.1', port: 6379, username: undefined, tls: undefined },
      issues: [],
    });
  });

  it('a URL supplies host, port, user, password and TLS', () => {
    const { settings, issues } = parseSettings({
      REDIS_URL: 'rediss://me:p%40ss@db.example:7000/0',
    });
    expect(issues).toEqual([]);
    expect(settings).toMatchObject({
      host: 'db.example',
      port: 7000,
      username: 'me',
      password: 'p@ss',
    });
    expect(settings.tls).toBeDefined();
    expect(parseSettings({ REDIS_URL: 'redis://db.example' }).settings.tls).toBeUndefined();
  });

  it('the variables that Kubernetes sets for a Service called redis are not settings', () => {
    const env = {
      REDIS_PORT: 'tcp://10.0.0.7:6379',
      REDIS_SERVICE_HOST: '10.0.0.7',
      REDIS_PORT_6379_TCP: 'tcp://10.0.0.7:6379',
    };
    expect(parseSettings(env)).toMatchObject({ settings: { port: 6379 }, issues: [] });
  });

  it.each([
    [{ REDIS_PORT: '0' }, 'REDIS_PORT'],
    [{ REDIS_PORT: 'abc' }, 'REDIS_PORT'],
    [{ REDIS_HOST: 'a,b' }, 'REDIS_HOST'],
    [{ REDIS_URL: 'http://x' }, 'REDIS_URL'],
    [{ REDIS_HOST: '[::1]' }, 'REDIS_HOST'],
    [{ REDIS_URL: 'redis://x:0' }, 'REDIS_URL'],
    [{ REDIS_URL: 'unix:///run/redis.sock' }, 'REDIS_URL'],
    [{ REDIS_URL: 'redis://x', REDIS_HOST: 'y' }, 'REDIS_HOST'],
    [{ REDIS_SOCKET: '/run/redis.sock', REDIS_PORT: '7000' }, 'REDIS_PORT'],
    [{ REDIS_USERNAME: 'me' }, 'REDIS_PASSWORD'],
    [{ REDIS_TLS: 'maybe' }, 'REDIS_TLS'],
    [{ REDIS_TLS_CA: '/ca.crt' }, 'REDIS_TLS_CA'],
    [{ REDIS_TLS: 'true', REDIS_TLS_CERT: '/c.crt' }, 'REDIS_TLS_KEY'],
    [{ REDIS_SOCKET: 'relative' }, 'REDIS_SOCKET'],
    [{ REDIS_RENAMED_COMMANDS: 'GET=x' }, 'REDIS_RENAMED_COMMANDS'],
    [{ REDIS_SAMPLE_KEYS: '-1' }, 'REDIS_SAMPLE_KEYS'],
  ])('%j is refused by name', (env, name) => {
    expect(names(env as Record<string, string>)).toEqual([name]);
  });

  it('no message contains a value', () => {
    const { issues } = parseSettings({
      REDIS_URL: 'secret-1',
      REDIS_PORT: 'secret-2',
      REDIS_TLS: 'secret-3',
    });
    expect(JSON.stringify(issues)).not.toContain('secret');
  });
});
