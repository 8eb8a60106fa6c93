import { describe, expect, test } from 'vitest';
import { namesSecret, redact, redactLine } from '../src/lib/redact.ts';

describe('redact', () => {
  test.each([
    'password=hunter2 more',
    'PGPASSWORD: hunter2',
    '{"password":"hunter2","a":1}',
    String.raw`{"msg":"{\"password\":\"hunter2\"}"}`,
    "user=app password='hun hunter2 ter' host=x",
    'postgres://app:hunter2@db/shop',
    'postgres://app:p@hunter2@db/shop',
    'redis://:hunter2@cache:6379',
    'https://hunter2@sentry.example/1',
    '--db-password hunter2 --x',
    '--token=hunter2',
    'Authorization: Bearer hunter2hunter2',
    'authorization: Basic hunter2hunter2',
    "ALTER ROLE app PASSWORD 'hunter2'",
    "create user a identified by 'hunter2'",
    'requirepass hunter2',
    'masterauth hunter2',
    'export MYSQL_ROOT_PASSWORD=hunter2',
    'https://host/path?api_key=hunter2&x=1',
    '-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----',
    'cut -----BEGIN PRIVATE KEY-----\nhunter2',
    'aws_secret_access_key = hunter2',
    'x eyJhbGciOi.eyJzdWIiOi.hunter2 y',
    'SCRAM-SHA-256$4096:hunter2',
  ])('takes the secret out of %s', (text) => {
    expect(redact(text)).not.toContain('hunter2');
  });
  test.each([
    'FATAL:  password authentication failed for user "app"',
    'secret "db-password" not found',
    "couldn't find key password in Secret shop/login",
    'could not translate host name "db" to address',
    'connect ECONNREFUSED 10.0.0.1:5432',
    'NOAUTH Authentication required.',
    'WRONGPASS invalid username-password pair or user is disabled.',
    'GET https://host:8080/healthz answered 503',
    'token expired',
  ])('leaves %s as it is', (text) => {
    expect(redact(text)).toBe(text);
  });
  test('keeps what stands around it', () => {
    expect(redact('a postgres://app:x@db:5432/shop b')).toBe(
      'a postgres://[redacted]@db:5432/shop b',
    );
    expect(redact('{"password":"x","user":"app"}')).toContain('"user":"app"');
  });
  test('a line has no control characters, and a bounded length', () => {
    expect(redactLine('\u001B[31mred\u001B[0m\tend')).toBe('red end');
    expect(redactLine('x'.repeat(1_000))).toHaveLength(300);
  });
});

test('names of secrets are told from others', () => {
  for (const one of [
    'PGPASSWORD',
    'DB_PASSWORD',
    'password',
    'apiKey',
    'authToken',
    'ERLANG_COOKIE',
    'tokens',
    'passwordHash',
  ]) {
    expect([one, namesSecret(one)]).toEqual([one, true]);
  }
  for (const one of [
    'PATH',
    'DATABASE_URL',
    'publicKey',
    'POSTGRES_USER',
    'COMPASS',
    'CACHE_KEYS',
  ]) {
    expect([one, namesSecret(one)]).toEqual([one, false]);
  }
});
