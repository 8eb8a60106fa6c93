import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildControlApp } from '../../src/http/app.ts';
import { createLogger } from '../../src/logger.ts';
import { FakeControl } from '../support/fake-control.ts';

const logger = createLogger({ level: 'silent' });
let control: FakeControl;
let app: ReturnType<typeof buildControlApp>;

beforeEach(() => {
  control = new FakeControl();
  app = buildControlApp({ control, transport: 'tcp', token: 's3cret-token', logger });
});
afterEach(() => app.close());

const freeze = (headers: Record<string, string>) =>
  app.inject({ method: 'POST', url: '/v1/freeze', headers });

const authorization = 'Bearer s3cret-token';

describe('the loopback port', () => {
  it.each(['localhost', '127.0.0.1', 'localhost:8095', '127.0.0.1:1', 'LOCALHOST:8095'])(
    'takes Host %s',
    async (host) => {
      expect((await freeze({ host, authorization })).statusCode).toBe(200);
    },
  );

  it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.nip.io:8095', '0.0.0.0', '[::1]'])(
    'refuses Host %s',
    async (host) => {
      const answer = await freeze({ host, authorization });
      expect(answer.statusCode).toBe(403);
      expect(answer.json()).toMatchObject({ error: { code: 'HOST_REFUSED' } });
      expect(control.freezes).toEqual([]);
    },
  );

  it('refuses requests of web pages', async () => {
    const answer = await freeze({ host: 'localhost', authorization, origin: 'http://localhost' });
    expect(answer.statusCode).toBe(403);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    expect(control.freezes).toEqual([]);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer wrong',
    'Bearer s3cret-tokenx',
    'Basic s3cret-token',
    's3cret-token',
  ])('answers 401 to authorization %s', async (value) => {
    const answer = await freeze({
      host: 'localhost',
      ...(value === undefined ? {} : { authorization: value }),
    });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json()).toMatchObject({ error: { code: 'UNAUTHORIZED' } });
    expect(answer.body).not.toContain('s3cret');
    expect(control.freezes).toEqual([]);
  });

  it('requires the token on every route, known or not', async () => {
    for (const url of ['/v1/status', '/openapi.json', '/nothing']) {
      const answer = await app.inject({ method: 'GET', url, headers: { host: 'localhost' } });
      expect(answer.statusCode).toBe(401);
    }
  });

  it('requires no token where none is set', async () => {
    const open = buildControlApp({ control, transport: 'tcp', logger });
    const answer = await open.inject({
      method: 'GET',
      url: '/v1/status',
      headers: { host: 'localhost' },
    });
    expect(answer.statusCode).toBe(200);
    await open.close();
  });
});
