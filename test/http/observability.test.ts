import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildObservabilityApp } from '../../src/http/observability.ts';
import { createLogger } from '../../src/logger.ts';

let ready = true;
let metrics: () => string = () => 'up 1\n';
let app: ReturnType<typeof buildObservabilityApp>;

beforeEach(() => {
  ready = true;
  metrics = () => 'up 1\n';
  app = buildObservabilityApp({
    metrics: () => metrics(),
    live: () => ({ ok: true, message: 'alive' }),
    ready: () => ({ ok: ready, message: ready ? 'ready' : 'ENGINE_UNREACHABLE: no answer' }),
    logger: createLogger({ level: 'silent' }),
  });
});
afterEach(() => app.close());

describe('the observability port', () => {
  it('answers its three paths', async () => {
    const exposition = await app.inject({ method: 'GET', url: '/metrics' });
    expect(exposition.body).toBe('up 1\n');
    expect(exposition.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect((await app.inject({ method: 'GET', url: '/healthz' })).json()).toEqual({
      ok: true,
      message: 'alive',
    });
    expect((await app.inject({ method: 'GET', url: '/readyz?verbose' })).statusCode).toBe(200);
  });

  it('is not ready while the database is unreachable, but still alive', async () => {
    ready = false;
    const answer = await app.inject({ method: 'GET', url: '/readyz' });
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({ ok: false });
    expect((await app.inject({ method: 'GET', url: '/healthz' })).statusCode).toBe(200);
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const)(
    'answers 405 to %s',
    async (method) => {
      for (const url of ['/metrics', '/healthz', '/readyz']) {
        const answer = await app.inject({ method, url });
        expect([answer.statusCode, answer.headers['allow']]).toEqual([405, 'GET']);
      }
    },
  );

  it.each([
    '/',
    '/v1/status',
    '/v1/freeze',
    '/v1/thaw',
    '/openapi.json',
    '/metrics/',
    '/healthz/x',
  ])('answers 404 to %s, whatever the method', async (url) => {
    for (const method of ['GET', 'POST'] as const) {
      const answer = await app.inject({ method, url });
      expect(answer.statusCode).toBe(404);
      expect(answer.json()).toMatchObject({ error: { code: 'NOT_FOUND' } });
    }
  });

  it('hides why the metrics failed', async () => {
    metrics = () => {
      throw new Error('secret');
    };
    const answer = await app.inject({ method: 'GET', url: '/metrics' });
    expect(answer.statusCode).toBe(500);
    expect(answer.body).not.toContain('secret');
  });
});
