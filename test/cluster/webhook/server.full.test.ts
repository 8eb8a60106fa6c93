import { copyFile, cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as consume } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificates } from '../../support/certificates.ts';
import { Crowd, openFiles } from '../../support/crowd.ts';
import { postgresPod } from '../../support/pods.ts';
import { post, type RunningWebhook, startWebhook } from '../../support/webhook.ts';

/** The name in the certificate. */
const NAME = 'localhost';
let dir: string;
let webhook: RunningWebhook | undefined;
const ca = () => readFile(join(dir, 'ca.crt'), 'utf8');

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quiesce-webhook-'));
  await makeCertificates(dir);
});
afterEach(async () => {
  await webhook?.stop('SIGKILL');
  webhook = undefined;
  await rm(dir, { recursive: true, force: true });
});

async function mount(certificate: string, key = certificate): Promise<void> {
  await copyFile(join(dir, `${certificate}.crt`), join(dir, 'new.crt'));
  await copyFile(join(dir, `${key}.key`), join(dir, 'new.key'));
  await rename(join(dir, 'new.crt'), join(dir, 'tls.crt'));
  await rename(join(dir, 'new.key'), join(dir, 'tls.key'));
}

const start = () => startWebhook(['--certificates', 'files', '--cert-dir', dir]);

const review = (object: unknown): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u', kind: { kind: 'Pod' }, operation: 'CREATE', namespace: 'shop', object },
  });

describe('quiesce webhook with a mounted certificate', () => {
  it('answers reviews over TLS, counts them, and stops on SIGTERM', async () => {
    await mount('server');
    webhook = await start();
    await webhook.ready();
    const answer = await post(webhook.port, await ca(), review(postgresPod({})));
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({
      response: { uid: 'u', allowed: true, patchType: 'JSONPatch' },
    });
    const metrics = await webhook.metrics();
    expect(metrics).toContain('quiesce_webhook_requests_total{result="injected"} 1');
    expect(metrics).toMatch(/quiesce_webhook_certificate_expiry_timestamp_seconds \d{10}/);
    expect(await webhook.stop()).toBe(0);
    expect(webhook.log()).not.toContain('PRIVATE KEY');
  });

  it('runs from its bundle alone, as in the image', async () => {
    await cp('dist', join(dir, 'dist'), { recursive: true });
    await mount('server');
    const flags = ['--certificates', 'files', '--cert-dir', dir];
    webhook = await startWebhook(flags, {}, join(dir, 'dist/cli.js'));
    await webhook.ready();
    expect((await post(webhook.port, await ca(), review(postgresPod({})))).status).toBe(200);
  });

  it('refuses other bodies and other paths', async () => {
    await mount('server');
    webhook = await start();
    await webhook.ready();
    const send = (body: string, path?: string) => post(webhook?.port ?? 0, dirCa, body, path);
    const dirCa = await ca();
    expect((await send('{}')).status).toBe(422);
    expect((await send('{')).status).toBe(400);
    expect((await send('{}', '/validate')).status).toBe(404);
    expect((await send(`"${'x'.repeat(9 * 1024 * 1024)}"`)).status).toBe(413);
    expect((await send(review(postgresPod({})))).status).toBe(200);
  });

  it('runs without a certificate but is not ready, and serves as soon as there is one', async () => {
    webhook = await start();
    await webhook.ready(false);
    expect((await fetch(`http://127.0.0.1:${webhook.metricsPort}/healthz`)).status).toBe(200);
    await mount('server');
    await webhook.ready();
    expect((await post(webhook.port, await ca(), review(postgresPod({})))).status).toBe(200);
  });

  it('serves a new certificate without a restart, and keeps the old one if the new one is invalid', async () => {
    await mount('server');
    webhook = await start();
    await webhook.ready();
    const authority = await ca();
    const { port } = webhook;
    const first = await post(port, authority, review({}));
    await writeFile(join(dir, 'tls.crt'), 'nonsense');
    await expect
      .poll(() => webhook?.metrics(), { timeout: 30_000 })
      .toMatch(/certificate_errors_total [1-9]/);
    expect((await post(port, authority, review({}))).fingerprint).toBe(first.fingerprint);
    await mount('elsewhere');
    await expect
      .poll(() => webhook?.metrics(), { timeout: 30_000 })
      .toContain('certificate_renewals_total 1');
    const second = await post(port, authority, review({}), '/mutate', 'elsewhere.test');
    expect(second.status).toBe(200);
    expect(second.fingerprint).not.toBe(first.fingerprint);
  });

  it('answers malformed requests with the standard error body and the right status', async () => {
    await mount('server');
    webhook = await start();
    await webhook.ready();
    const { port } = webhook;
    const send = async (text: string) => {
      const socket = connectTls({ host: '127.0.0.1', port, ca: await ca(), servername: NAME });
      socket.end(text);
      return (await consume(socket)).split('\r\n');
    };
    const head = `POST /mutate HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n`;
    for (const [sent, status, code] of [
      [`${head}Host: x\r\n\r\n`, 400, 'BAD_REQUEST'],
      [`${head}Expect: x\r\n\r\n`, 417, 'EXPECTATION_FAILED'],
      [`${head}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
      [head.replace('POST', 'GET') + '\r\n', 405, 'METHOD_NOT_ALLOWED'],
      ['GARBAGE\r\n\r\n', 400, 'BAD_REQUEST'],
    ] as const) {
      const lines = await send(sent);
      expect(lines[0]).toContain(` ${status} `);
      expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
        error: { code, hint: expect.stringMatching(/./) as string },
      });
    }
  });

  it('answers reviews while a crowd holds connections, before and after the handshake', async () => {
    await mount('server');
    webhook = await start();
    await webhook.ready();
    const to = { host: '127.0.0.1', port: webhook.port };
    const before = await openFiles(webhook.process.pid);
    const crowds = [await Crowd.of(to, 900), await Crowd.of(to, 900, '\u0016\u0003\u0001')];
    const secure = Array.from({ length: 20 }, () =>
      connectTls({ ...to, rejectUnauthorized: false }).on('error', () => undefined),
    );
    expect((await post(webhook.port, await ca(), review(postgresPod({})))).status).toBe(200);
    await expect
      .poll(() => openFiles(webhook?.process.pid).then((now) => now - before))
      .toBeLessThan(512 + 50);
    expect((await post(webhook.port, await ca(), review(postgresPod({})))).status).toBe(200);
    for (const socket of secure) socket.destroy();
    for (const crowd of crowds) crowd.leave();
  });

  it('closes most of the connections whose reviews never end, so memory stays bounded', async () => {
    await mount('server');
    webhook = await start();
    await webhook.ready();
    const MIB = 1024 * 1024;
    const half = `POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: ${8 * MIB}\r\n\r\n`;
    let closed = 0;
    const senders = Array.from({ length: 60 }, () => {
      const socket = connectTls({
        host: '127.0.0.1',
        port: webhook?.port,
        rejectUnauthorized: false,
      });
      socket.on('error', () => undefined).once('close', () => (closed += 1));
      socket.resume().write(half);
      return socket;
    });
    await expect.poll(() => closed, { timeout: 5_000 }).toBeGreaterThanOrEqual(60 - 8);
    expect((await post(webhook.port, await ca(), review(postgresPod({})))).status).toBe(200);
    for (const socket of senders) socket.destroy();
  });

  it('reports every invalid flag at once and exits with 2', async () => {
    webhook = await startWebhook([
      '--image',
      'BAD IMAGE',
      '--certificates',
      'none',
      '--memory-limit',
      'much',
      '--hook-timeout',
      '30',
    ]);
    await expect.poll(() => webhook?.process.exitCode, { timeout: 30_000 }).toBe(2);
    for (const flag of ['--image', '--certificates', '--memory-limit', '--hook-timeout']) {
      expect(webhook.log()).toContain(flag);
    }
  });

  it('refuses a memory request above the limit, since API servers would refuse every pod', async () => {
    await mount('server');
    webhook = await startWebhook(['--certificates', 'files', '--memory-request', '1Gi']);
    await expect.poll(() => webhook?.process.exitCode, { timeout: 30_000 }).toBe(2);
    expect(webhook.log()).toContain('--memory-request must not be more than --memory-limit');
  });
});
