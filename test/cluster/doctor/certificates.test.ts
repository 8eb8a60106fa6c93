import { describe, expect, it } from 'vitest';
import { createAuthority, issueCertificate } from '../../../src/cluster/certificates/authority.ts';
import type { Finding } from '../../../src/cluster/doctor/rule.ts';
import { codes, findingsOf, NOW } from './support.ts';

const DAY = 86_400_000;
const HOST = 'quiesce-webhook.quiesce-system.svc';

const days = (from: number, to: number) => ({
  notBefore: new Date(NOW + from * DAY),
  notAfter: new Date(NOW + to * DAY),
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A webhook that serves `certificate`, and whose configuration has `bundle` as its CA. */
function webhook(bundle: string, certificate?: string): object[] {
  const namespace = 'quiesce-system';
  const labels = { app: 'webhook' };
  const served =
    certificate === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Secret',
            metadata: { name: 'quiesce-webhook-tls', namespace },
            data: { 'tls.crt': base64(certificate), 'tls.key': '' },
          },
        ];
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: 'quiesce', uid: '1' },
      webhooks: [
        {
          name: 'inject.quiesce.dev',
          failurePolicy: 'Ignore',
          clientConfig: {
            caBundle: base64(bundle),
            service: { namespace, name: 'quiesce-webhook', path: '/mutate' },
          },
        },
      ],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'quiesce-webhook', namespace },
      spec: { selector: labels },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'quiesce-webhook', namespace },
      spec: {
        replicas: 2,
        template: {
          metadata: { labels },
          spec: {
            containers: [
              {
                name: 'webhook',
                image: 'quiesce:0.1.0',
                args: ['webhook', '--image=quiesce:0.1.0', '--secret=quiesce-webhook-tls'],
              },
            ],
          },
        },
      },
    },
    ...served,
  ];
}

describe('the certificates of the webhook', () => {
  const found = (objects: object[]): readonly Finding[] => findingsOf(objects);

  it('give no finding if none expires within three weeks, even while two CAs are trusted', async () => {
    const [old, next] = [
      await createAuthority(days(-1_000, 1)),
      await createAuthority(days(-10, 365)),
    ];
    const pair = await issueCertificate(next, [HOST], days(-1, 60));
    expect(found(webhook(old.certificate + next.certificate, pair.certificate))).toEqual([]);
    expect(found(webhook(next.certificate))).toEqual([]);
  });

  it.each([
    ['the CA', 5, 60, 'The CA that the API server trusts expires on 2026-06-06.'],
    [
      'the serving certificate',
      365,
      20,
      'The certificate in the Secret quiesce-webhook-tls expires on 2026-06-21.',
    ],
  ])('are reported if %s expires soon', async (_, ca, leaf, message) => {
    const authority = await createAuthority(days(-1_000, ca));
    const pair = await issueCertificate(authority, [HOST], days(-60, leaf));
    expect(found(webhook(authority.certificate, pair.certificate))).toMatchObject([
      { code: 'CERTIFICATE_EXPIRING', severity: 'warning', message },
    ]);
  });

  it('are reported once they have expired', async () => {
    const authority = await createAuthority(days(-1_000, -1));
    const pair = await issueCertificate(authority, [HOST], days(-60, -2));
    expect(found(webhook(authority.certificate, pair.certificate))).toMatchObject([
      { code: 'CERTIFICATE_EXPIRED', severity: 'error' },
    ]);
  });

  it('are reported if another CA signed them, or if they are for another name', async () => {
    const [mine, other] = [
      await createAuthority(days(-1, 365)),
      await createAuthority(days(-1, 365)),
    ];
    const pair = await issueCertificate(other, [HOST], days(-1, 60));
    expect(codes(found(webhook(mine.certificate, pair.certificate)))).toEqual([
      'WEBHOOK_CA_MISMATCH',
    ]);
    const wrong = await issueCertificate(mine, ['hook.elsewhere.svc'], days(-1, 60));
    expect(codes(found(webhook(mine.certificate, wrong.certificate)))).toEqual([
      'WEBHOOK_CA_MISMATCH',
    ]);
  });

  it('are reported if caBundle is not a certificate', () => {
    expect(codes(found(webhook('no certificate')))).toEqual(['WEBHOOK_CA_MISSING']);
  });
});
