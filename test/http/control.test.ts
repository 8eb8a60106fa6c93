import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QuiesceError } from '../../src/errors.ts';
import { buildControlApp } from '../../src/http/app.ts';
import { createLogger } from '../../src/logger.ts';
import { FakeControl, aReceipt, consistent, notConsistent } from '../support/fake-control.ts';

const logger = createLogger({ level: 'silent' });
let control: FakeControl;
let app: ReturnType<typeof buildControlApp>;

beforeEach(() => {
  control = new FakeControl();
  app = buildControlApp({ control, transport: 'socket', logger });
});
afterEach(() => app.close());

const post = (url: string, payload?: unknown, headers: Record<string, string> = {}) =>
  app.inject({
    method: 'POST',
    url,
    headers: payload === undefined ? headers : { 'content-type': 'application/json', ...headers },
    ...(payload === undefined
      ? {}
      : { payload: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
  });

describe('freeze', () => {
  it('answers with the receipt, and passes on id, durations and caller', async () => {
    const answer = await post(
      '/v1/freeze',
      { id: 'b1', ttl: '10m', timeout: '1.5s', thawLast: true },
      { 'user-agent': `curl/8\u00E9${'x'.repeat(200)}` },
    );
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ kind: 'Receipt', id: 'b1', verdict: 'held' });
    expect(control.freezes[0]).toMatchObject({
      id: 'b1',
      ttlMs: 600_000,
      timeoutMs: 1_500,
      thawLast: true,
    });
    expect(control.freezes[0]?.by).toMatch(/^socket \(curl\/8[?]+x+\)$/);
    expect(control.freezes[0]?.by.length).toBeLessThanOrEqual('socket ()'.length + 80);
  });

  it.each([
    ['no body, no content-type', undefined, {}],
    ['no body, JSON content-type', undefined, { 'content-type': 'application/json' }],
    ['no body, form content-type', '', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['Content-Length 0', '', { 'content-type': 'application/json', 'content-length': '0' }],
    ['an empty object', '{}', { 'content-type': 'application/json; charset=utf-8' }],
    ['an empty object, other case', '{}', { 'content-type': 'Application/JSON' }],
  ])('takes %s as {}', async (_name, payload, headers) => {
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/freeze',
      headers,
      ...(payload === undefined ? {} : { payload }),
    });
    expect(answer.statusCode).toBe(200);
    expect(control.freezes[0]).toEqual({
      by: expect.stringMatching(/^socket/) as string,
      gone: expect.any(AbortSignal) as AbortSignal,
    });
  });

  it.each([
    [{ ttl: 600 }, 'ttl'],
    [{ ttl: '600' }, 'ttl'],
    [{ ttl: '-5s' }, 'ttl'],
    [{ ttl: '+5s' }, 'ttl'],
    [{ ttl: '0s' }, 'ttl'],
    [{ ttl: '0.4ms' }, 'ttl'],
    [{ ttl: '25h' }, 'ttl'],
    [{ ttl: '999999999h' }, 'ttl'],
    [{ ttl: '99999999999999999999s' }, 'ttl'],
    [{ ttl: '1e3s' }, 'ttl'],
    [{ ttl: '10 m' }, 'ttl'],
    [{ ttl: '1m30s' }, 'ttl'],
    [{ ttl: '10m\n' }, 'ttl'],
    [{ ttl: null }, 'ttl'],
    [{ ttl: ['10m'] }, 'ttl'],
    [{ ttl: { ms: 1 } }, 'ttl'],
    [{ ttl: true }, 'ttl'],
    [{ ttl: '' }, 'ttl'],
    [{ ttl: 'Infinity' }, 'ttl'],
    [{ timeout: 25 }, 'timeout'],
    [{ timeout: '0ms' }, 'timeout'],
    [{ id: '' }, 'id'],
    [{ id: 'a b' }, 'id'],
    [{ id: '../x' }, 'id'],
    [{ id: 'ü' }, 'id'],
    [{ id: 'a\n' }, 'id'],
    [{ id: 'x'.repeat(129) }, 'id'],
    [{ id: 7 }, 'id'],
    [{ id: null }, 'id'],
    [{ force: true }, 'force'],
    [{ TTL: '10m' }, 'TTL'],
    ['{"__proto__":{"ttl":"1s"}}', '__proto__'],
    ['{"constructor":{"prototype":{"a":1}}}', 'constructor'],
    ['{"toString":1}', 'toString'],
  ])('refuses a field and names it (%#)', async (body, field) => {
    const answer = await post('/v1/freeze', body);
    expect(answer.statusCode).toBe(422);
    const { error } = answer.json<{ error: Record<string, string> }>();
    expect(error).toMatchObject({ code: 'INVALID_FIELD', field });
    expect(error['message']).toContain(field);
    expect(error['hint']).toBeTruthy();
    expect(control.freezes).toEqual([]);
  });

  it.each([
    '[]',
    '[{}]',
    '"10m"',
    'null',
    '1',
    'true',
    `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
  ])('refuses a body that is not an object (%#)', async (body) => {
    const answer = await post('/v1/freeze', body);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ error: { code: 'INVALID_FIELD' } });
    expect(control.freezes).toEqual([]);
  });

  it.each(['{', '{"id":}', "{'id':'a'}", 'id=a', '\0', '{"id":"a"}}', ' '])(
    'answers 400 to broken JSON: %j',
    async (body) => {
      const answer = await post('/v1/freeze', body);
      expect(answer.statusCode).toBe(400);
      expect(answer.json()).toMatchObject({ error: { code: 'INVALID_JSON' } });
      expect(control.freezes).toEqual([]);
    },
  );

  it('answers 400 to JSON that is not UTF-8', async () => {
    const answer = await app.inject({
      method: 'POST',
      url: '/v1/freeze',
      headers: { 'content-type': 'application/json' },
      payload: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    });
    expect(answer.statusCode).toBe(400);
  });

  it('answers 413 to a body over 64 KiB', async () => {
    const answer = await post('/v1/freeze', { id: 'x'.repeat(65 * 1024) });
    expect(answer.statusCode).toBe(413);
    expect(answer.json()).toMatchObject({ error: { code: 'BODY_TOO_LARGE' } });
    expect(control.freezes).toEqual([]);
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    ';;;',
    'application',
  ])('answers 415 to a body of type %s', async (type) => {
    const answer = await post('/v1/freeze', '{"id":"a"}', { 'content-type': type });
    expect(answer.statusCode).toBe(415);
    expect(answer.json()).toMatchObject({ error: { code: 'UNSUPPORTED_MEDIA_TYPE' } });
    expect(control.freezes).toEqual([]);
  });

  it('refuses a query, which would otherwise be ignored', async () => {
    const answer = await post('/v1/freeze?ttl=1s');
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ error: { code: 'INVALID_FIELD', field: 'ttl' } });
    expect(control.freezes).toEqual([]);
  });

  it('answers the status and body of a QuiesceError', async () => {
    control.onFreeze = () => Promise.reject(new QuiesceError('FREEZE_HELD', 'Held by b0.'));
    const answer = await post('/v1/freeze');
    expect(answer.statusCode).toBe(409);
    expect(answer.json()).toEqual({
      error: {
        code: 'FREEZE_HELD',
        message: 'Held by b0.',
        hint: expect.stringContaining('quiesce thaw') as string,
      },
    });
  });

  it('hides the text of an unexpected error', async () => {
    control.onFreeze = () => Promise.reject(new Error('password=hunter2'));
    const answer = await post('/v1/freeze');
    expect(answer.statusCode).toBe(500);
    expect(answer.json()).toMatchObject({ error: { code: 'INTERNAL' } });
    expect(answer.body).not.toContain('hunter2');
  });
});

describe('thaw', () => {
  it('answers with the final receipt', async () => {
    const answer = await post('/v1/thaw', { id: 'b1' });
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ verdict: 'consistent', id: 'b1' });
  });

  it('answers 409 with the receipt when the hold did not last', async () => {
    control.onThaw = () => Promise.reject(notConsistent());
    const answer = await post('/v1/thaw');
    expect(answer.statusCode).toBe(409);
    expect(answer.json()).toMatchObject({
      error: { code: 'NOT_CONSISTENT' },
      receipt: { verdict: 'inconsistent', reasons: ['lease-expired'] },
    });
  });

  it('refuses a ttl', async () => {
    const answer = await post('/v1/thaw', { ttl: '1s' });
    expect(answer.json()).toMatchObject({ error: { field: 'ttl' } });
    expect(control.thaws).toEqual([]);
  });
});

describe('the options of freeze and thaw', () => {
  it('renew a lease, wait for a turn, release without a success', async () => {
    await post('/v1/freeze', { id: 'a', renew: true, ttl: '1m' });
    await post('/v1/freeze', { wait: true });
    expect(control.freezes).toMatchObject([
      { id: 'a', renew: true, ttlMs: 60_000 },
      { wait: true },
    ]);
    const released = await post('/v1/thaw', { abandon: true, id: 'a' });
    expect(released.statusCode).toBe(200);
    expect(released.json()).toMatchObject({ released: true, id: 'a', reasons: ['abandoned'] });
    control.onAbandon = () => Promise.resolve({ released: false, receipt: null });
    expect((await post('/v1/thaw', { abandon: true })).json()).toEqual({ released: false });
    expect(control.thaws).toEqual([]);
    await post('/v1/thaw', { abandon: false });
    expect(control.thaws).toHaveLength(1);
  });

  it.each([
    ['/v1/freeze', { renew: 'yes' }, 'renew'],
    ['/v1/freeze', { id: 'a', renew: true, wait: true }, 'wait'],
    ['/v1/freeze', { abandon: true }, 'abandon'],
    ['/v1/thaw', { abandon: 1 }, 'abandon'],
    ['/v1/thaw', { wait: true }, 'wait'],
  ])('are refused where they make no sense (%s %j)', async (url, body, field) => {
    const answer = await post(url, body);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ error: { code: 'INVALID_FIELD', field } });
    expect([control.freezes, control.thaws, control.abandons]).toEqual([[], [], []]);
  });
});

describe('an idempotency key', () => {
  const key = { 'idempotency-key': 'backup-7' };

  it('is passed on with a digest of route and body, whatever the formatting of the body', async () => {
    await post('/v1/freeze', '{"id":"a","ttl":"1m"}', key);
    await post('/v1/freeze', ' { "ttl": "1m", "id": "a" }', key);
    await post('/v1/freeze', { id: 'a' }, key);
    await post('/v1/thaw', { id: 'a' }, key);
    const [one, two, other] = control.freezes.map(({ call }) => call);
    expect(one).toMatchObject({ key: 'backup-7' });
    expect(two).toEqual(one);
    const digests = [one, other, control.thaws[0]?.call].map((call) => call?.digest);
    expect(new Set(digests).size).toBe(3);
  });

  it.each(['', 'a b', 'x'.repeat(256), 'caf\u00E9'])(
    'is refused where it is malformed: %j',
    async (bad) => {
      const answer = await post('/v1/freeze', {}, { 'idempotency-key': bad });
      expect(answer.statusCode).toBe(422);
      expect(answer.json()).toMatchObject({
        error: { code: 'INVALID_FIELD', field: 'idempotency-key' },
      });
      expect(control.freezes).toEqual([]);
    },
  );
});

describe('views', () => {
  it('serves status, metadata, receipts and one receipt', async () => {
    control.kept = [consistent({ id: 'b2' }), consistent({ id: 'a:1._-' })];
    const get = (url: string) => app.inject({ method: 'GET', url });
    expect((await get('/v1/status')).json()).toMatchObject({ state: 'thawed', version: '0.1.0' });
    expect((await get('/v1/metadata')).json()).toMatchObject({ version: '17.10' });
    expect((await get('/v1/receipts')).json()).toMatchObject({ receipts: [{ id: 'b2' }, {}] });
    expect((await get('/v1/receipts/a%3A1._-')).json()).toMatchObject({ id: 'a:1._-' });
  });

  it.each([
    ['/v1/receipts/none', 404, 'RECEIPT_NOT_FOUND'],
    ['/v1/receipts/a%20b', 422, 'INVALID_FIELD'],
    ['/v1/receipts/%2e%2e%2fetc', 422, 'INVALID_FIELD'],
    [`/v1/receipts/${'x'.repeat(129)}`, 422, 'INVALID_FIELD'],
    [`/v1/receipts/${'x'.repeat(5_000)}`, 400, 'BAD_REQUEST'],
    ['/v1/receipts/%zz', 400, 'BAD_REQUEST'],
    ['/v1/receipts/%00', 422, 'INVALID_FIELD'],
    ['/v1/receipts/', 422, 'INVALID_FIELD'],
    ['/v2/status', 404, 'NOT_FOUND'],
    ['/', 404, 'NOT_FOUND'],
    ['/V1/status', 404, 'NOT_FOUND'],
    ['/metrics', 404, 'NOT_FOUND'],
  ])('GET %.40s answers %d %s', async (url, status, code) => {
    const answer = await app.inject({ method: 'GET', url });
    expect([answer.statusCode, answer.json<{ error: { code: string } }>().error.code]).toEqual([
      status,
      code,
    ]);
  });

  it('serves an OpenAPI document that names every route', async () => {
    const answer = await app.inject({ method: 'GET', url: '/openapi.json' });
    const document = answer.json<{ openapi: string; paths: object }>();
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths).sort()).toEqual([
      '/v1/freeze',
      '/v1/metadata',
      '/v1/receipts',
      '/v1/receipts/{id}',
      '/v1/restore/acknowledge',
      '/v1/status',
      '/v1/thaw',
      '/v1/verify',
    ]);
  });

  it.each([
    ['GET', '/v1/freeze', 'POST'],
    ['PUT', '/v1/freeze', 'POST'],
    ['DELETE', '/v1/thaw', 'POST'],
    ['OPTIONS', '/v1/thaw', 'POST'],
    ['POST', '/v1/status', 'GET'],
    ['HEAD', '/v1/status', 'GET'],
    ['PATCH', '/v1/receipts/x', 'GET'],
    ['POST', '/openapi.json', 'GET'],
  ] as const)('%s %s answers 405 and allows %s', async (method, url, allow) => {
    const answer = await app.inject({ method, url });
    expect(answer.statusCode).toBe(405);
    expect(answer.headers['allow']).toBe(allow);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    if (method !== 'HEAD') {
      expect(answer.json()).toMatchObject({ error: { code: 'METHOD_NOT_ALLOWED' } });
    }
  });
});

describe('verify', () => {
  it.each([
    { deep: true, deepTimeout: '2s' },
    { amcheck: true, amcheckTimeout: '2s' },
    { deep: false, amcheck: true, deepTimeout: '2s', amcheckTimeout: '9s' },
  ])('answers 200 with the checks where all of them pass: %j', async (names) => {
    const answer = await post('/v1/verify', { receipt: aReceipt(), ...names });
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ verified: true, checks: [{ ok: true }] });
    expect(control.verifications[0]?.options).toEqual({ deep: true, deepTimeoutMs: 2_000 });
  });

  it('answers with the level that the checks show', async () => {
    const checks = [
      { name: 'lsn', ok: true, message: 'reached' },
      { name: 'amcheck', ok: true, deep: true, message: 'sound' },
    ];
    control.onVerify = () => Promise.resolve({ verified: true, checks });
    const deep = await post('/v1/verify', { receipt: aReceipt(), deep: true });
    expect(deep.json()).toMatchObject({ level: 'content', content: 'passed' });
    control.onVerify = () => Promise.resolve({ verified: true, checks: checks.slice(0, 1) });
    const plain = await post('/v1/verify', { receipt: aReceipt() });
    expect(plain.json()).toMatchObject({ level: 'position' });
    expect(plain.json()).not.toHaveProperty('content');
  });

  it('answers 409 with the checks where one fails, even if the result claims otherwise', async () => {
    control.onVerify = () =>
      Promise.resolve({ verified: true, checks: [{ name: 'lsn', ok: false, message: 'too low' }] });
    const answer = await post('/v1/verify', { receipt: aReceipt() });
    expect(answer.statusCode).toBe(409);
    expect(answer.json()).toMatchObject({
      error: { code: 'NOT_VERIFIED' },
      checks: [{ name: 'lsn', ok: false }],
    });
  });

  it.each([
    [{}, 'receipt'],
    [{ receipt: null }, 'receipt'],
    [{ receipt: 'x' }, 'receipt'],
    [{ receipt: { ...aReceipt(), verdict: 'fine' } }, 'receipt.verdict'],
    [{ receipt: { ...aReceipt(), engine: { name: 1 } } }, 'receipt.engine.name'],
    [{ receipt: aReceipt(), amcheck: 'yes' }, 'amcheck'],
    [{ receipt: aReceipt(), amcheckTimeout: 5 }, 'amcheckTimeout'],
    [{ receipt: aReceipt(), deep: 'yes' }, 'deep'],
    [{ receipt: aReceipt(), deepTimeout: '5' }, 'deepTimeout'],
    [{ receipt: aReceipt(), depth: true }, 'depth'],
  ])('refuses a bad body and names the field (%#)', async (body, field) => {
    const answer = await post('/v1/verify', body);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ error: { code: 'INVALID_FIELD', field } });
    expect(control.verifications).toEqual([]);
  });
});
