import { userInfo } from 'node:os';
import { describe, expect, test } from 'vitest';
import { parseSettings } from '../../../src/engines/postgres/connection/settings.ts';

const names = (env: Record<string, string>): string[] =>
  parseSettings(env).issues.map(({ name }) => name);

describe('libpq’s environment names', () => {
  test('have libpq’s defaults', () => {
    const { settings, issues } = parseSettings({});
    expect(issues).toEqual([]);
    expect(settings).toMatchObject({
      host: undefined,
      port: 5432,
      user: userInfo().username,
      database: userInfo().username,
      applicationName: 'quiesce',
      password: undefined,
      ssl: { mode: 'prefer', negotiation: 'postgres', minVersion: 'TLSv1.2' },
    });
    expect(parseSettings({ PGUSER: 'u' }).settings.database).toBe('u');
  });

  test('an empty value counts as unset', () => {
    expect(parseSettings({ PGUSER: 'u', PGDATABASE: '', PGPORT: '', PGSSLMODE: '' })).toMatchObject(
      {
        settings: { database: 'u', port: 5432, ssl: { mode: 'prefer' } },
        issues: [],
      },
    );
  });

  test.each([
    [{ PGHOST: 'a,b' }, 'PGHOST'],
    [{ PGHOST: '@abstract' }, 'PGHOST'],
    [{ PGHOST: 'relative/dir' }, 'PGHOST'],
    [{ PGHOSTADDR: 'name' }, 'PGHOSTADDR'],
    [{ PGPORT: '0' }, 'PGPORT'],
    [{ PGPORT: '65536' }, 'PGPORT'],
    [{ PGPORT: 'tcp://10.0.0.1:5432' }, 'PGPORT'],
    [{ PGPORT: '5432,5433' }, 'PGPORT'],
    [{ PGSSLMODE: 'verify' }, 'PGSSLMODE'],
    [{ PGSSLMODE: 'require', PGSSLROOTCERT: 'system' }, 'PGSSLMODE'],
    [{ PGSSLNEGOTIATION: 'direct' }, 'PGSSLNEGOTIATION'],
    [
      { PGSSLMINPROTOCOLVERSION: 'TLSv1.3', PGSSLMAXPROTOCOLVERSION: 'TLSv1.2' },
      'PGSSLMAXPROTOCOLVERSION',
    ],
    [{ PGCONNECT_TIMEOUT: 'soon' }, 'PGCONNECT_TIMEOUT'],
    [{ PGSERVICE: 'x' }, 'PGSERVICE'],
    [{ PGOPTIONS: '-c x=y' }, 'PGOPTIONS'],
    [{ PGREQUIREAUTH: 'scram-sha-256' }, 'PGREQUIREAUTH'],
    [{ PGCHANNELBINDING: 'require' }, 'PGCHANNELBINDING'],
    [{ PGGSSENCMODE: 'require' }, 'PGGSSENCMODE'],
    [{ PGSSLCRL: '/crl' }, 'PGSSLCRL'],
    [{ PGTARGETSESSIONATTRS: 'read-write' }, 'PGTARGETSESSIONATTRS'],
  ])('%j is an issue with %s', (env, name) => {
    expect(names({ PGUSER: 'u', ...(env as Record<string, string>) })).toEqual([name]);
  });

  test('unsupported names are accepted with values that change nothing', () => {
    expect(
      names({
        PGCHANNELBINDING: 'prefer',
        PGGSSENCMODE: 'disable',
        PGTARGETSESSIONATTRS: 'any',
        PGTZ: 'UTC',
      }),
    ).toEqual([]);
  });

  test('a connection string in the wrong place is refused without repeating its password', () => {
    for (const name of ['PGHOST', 'PGDATABASE', 'PGUSER']) {
      const { issues, settings } = parseSettings({ [name]: 'postgres://u:hush@h/db' });
      expect(issues.map((issue) => issue.name)).toContain(name);
      expect(JSON.stringify({ issues, settings })).not.toContain('hush');
    }
  });

  test('all invalid names are reported at once', () => {
    expect(names({ PGPORT: 'x', PGSSLMODE: 'y', PGSERVICE: 'z' }).sort()).toEqual([
      'PGPORT',
      'PGSERVICE',
      'PGSSLMODE',
    ]);
  });
});
