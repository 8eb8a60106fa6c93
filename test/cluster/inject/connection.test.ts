import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Container, EnvVar } from '../../../src/cluster/objects/pod.ts';
import { CONFIG } from '../../support/pods.ts';

function sidecarOf(container: Partial<Container>): Container {
  const mounts = [
    { name: 'data', mountPath: '/data' },
    { name: 'secret', mountPath: '/etc/secret' },
  ];
  const database = { name: 'db', image: 'redis:7', volumeMounts: mounts, ...container };
  const labels = { 'quiesce.dev/inject': 'true' };
  const result = inject({ metadata: { labels }, spec: { containers: [database] } }, CONFIG);
  const found = result.outcome === 'injected' ? result.pod.spec?.containers?.at(-1) : undefined;
  if (found === undefined) throw new Error(JSON.stringify(result));
  return found;
}

const secret = (key: string) => ({ secretKeyRef: { name: 's', key } });

function envOf(container: Partial<Container>): Record<string, unknown> {
  const entries = (sidecarOf(container).env ?? []).map(({ name, value, valueFrom }: EnvVar) => [
    name,
    value ?? valueFrom,
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

describe('the connection to Redis', () => {
  it.each([
    [
      ['--requirepass "$(cat /etc/secret/password)"'],
      { REDIS_PASSWORD_FILE: '/etc/secret/password' },
    ],
    [['--requirepass $(</etc/secret/p)'], { REDIS_PASSWORD_FILE: '/etc/secret/p' }],
    [['--requirepass "$(cat /run/elsewhere/p)"'], {}],
    [['--requirepass ${RP:-changeme}'], { REDIS_PASSWORD: secret('p') }],
    [['--requirepass "$RP"'], { REDIS_PASSWORD: secret('p') }],
    [['--requirepass', '$(RP)'], { REDIS_PASSWORD: secret('p') }],
    [['--requirepass `pass`'], {}],
    [['--requirepass "$(vault read -field=p db)"'], {}],
    [['--requirepass', '', '--appendonly', 'yes'], {}],
    [['--requirepass', 'plain', '--appendonly', 'yes'], { REDIS_PASSWORD: 'plain' }],
  ])('uses the password in %j', (words, password) => {
    const env = [{ name: 'RP', valueFrom: secret('p') }];
    const found = envOf({ command: ['redis-server'], args: words, env });
    const passwords = Object.entries(found).filter(([name]) => name.startsWith('REDIS_PASSWORD'));
    expect(Object.fromEntries(passwords)).toEqual(password);
  });

  it('uses the flags that Redis Stack takes from its environment', () => {
    const env = [
      { name: 'RP', valueFrom: secret('p') },
      { name: 'REDIS_ARGS', value: '--requirepass $(RP) --port 6380 --dir /data' },
    ];
    expect(envOf({ image: 'redis/redis-stack-server:7.4.0-v0', env })).toMatchObject({
      REDIS_PASSWORD: secret('p'),
      REDIS_PORT: '6380',
    });
  });

  it('uses TLS if the flags leave no other port', () => {
    const tls = ['--tls-port', '6390', '--tls-ca-cert-file', '/etc/secret/ca.crt'];
    expect(envOf({ args: ['--port', '0', ...tls] })).toMatchObject({
      REDIS_PORT: '6390',
      REDIS_TLS: 'true',
      REDIS_TLS_VERIFY: 'ca',
      REDIS_TLS_CA: '/etc/secret/ca.crt',
    });
    const both = envOf({ args: ['--port', '6380', ...tls] });
    expect(both).toMatchObject({ REDIS_PORT: '6380' });
    expect(both).not.toHaveProperty('REDIS_TLS');
  });
});

describe('the connection to PostgreSQL', () => {
  it.each([
    [['-c', 'max_connections=9', '-p', '5433'], '5433'],
    [['postgres', '-c', 'port=5434'], '5434'],
    [['postgres', '--port=5435'], '5435'],
    [['sh', '-c', 'exec docker-entrypoint.sh postgres -p 5436'], '5436'],
    [['-c', 'archive_command=cp %p /x'], '5432'],
  ])('uses the port in %j', (args, port) => {
    expect(envOf({ image: 'postgres:17', args })).toMatchObject({ PGPORT: port });
  });

  it('uses the superuser if its password is set, not the application’s user', () => {
    const env = ['POSTGRESQL_ADMIN_PASSWORD', 'POSTGRESQL_PASSWORD'].map((name) => ({
      name,
      valueFrom: secret(name),
    }));
    const user = { name: 'POSTGRESQL_USER', value: 'app' };
    const image = 'registry.redhat.io/rhel9/postgresql-16:1';
    expect(envOf({ image, env: [...env, user] })).toMatchObject({
      PGUSER: 'postgres',
      PGPASSWORD: secret('POSTGRESQL_ADMIN_PASSWORD'),
    });
    expect(envOf({ image, env: [...env.slice(1), user] })).toMatchObject({
      PGUSER: 'app',
      PGPASSWORD: secret('POSTGRESQL_PASSWORD'),
    });
  });
});

describe('the user of the database', () => {
  it.each([
    ['alpine-mirror.example/postgres:16', 999],
    ['mirror.example/postgres:16-alpine3.20@sha256:00', 70],
    ['timescale/timescaledb:2.15.2-pg16', 70],
    ['alpine-mirror.example/redis:7', 999],
    ['registry.redhat.io/rhel9/redis-7:1', 1001],
    ['cgr.dev/chainguard/postgres:latest', undefined],
    ['supabase/postgres:15.8.1.060', undefined],
  ])('of %s is %s', (image, uid) => {
    expect(sidecarOf({ image }).securityContext?.runAsUser).toBe(uid);
  });
});
