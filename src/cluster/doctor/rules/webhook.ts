import type { X509Certificate } from 'node:crypto';
import { readBundle } from '../../certificates/rotation.ts';
import { INJECT_LABEL } from '../../objects/names.ts';
import { refOf, textAt } from '../../objects/kube-object.ts';
import type { ClusterRule, PodRule } from '../rule.ts';
import { whyDown } from './webhook-down.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import { isCalledFor, type InjectingWebhook, servingSecret } from '../../inventory/webhook.ts';

const DAY_MS = 86_400_000;
/** Certificates are renewed before this: the webhook and cert-manager do so with a third of the time left. */
const SOON_MS = 21 * DAY_MS;
const CONFIGURATIONS = 'mutatingwebhookconfigurations.admissionregistration.k8s.io';

function caOf({ entry }: InjectingWebhook): readonly X509Certificate[] {
  const text = textAt(entry, 'clientConfig', 'caBundle') ?? '';
  return readBundle(Buffer.from(text, 'base64').toString('utf8'));
}

/** The serving certificate; `undefined` if its Secret is not in the inventory. */
function servedOf(
  { catalog }: ClusterFacts,
  webhook: InjectingWebhook,
): X509Certificate | undefined {
  const name = servingSecret(webhook);
  const secret =
    name === undefined ? undefined : catalog.get('Secret', webhook.serviceNamespace, name);
  const encoded = textAt(secret, 'data', 'tls.crt') ?? '';
  const plain = textAt(secret, 'stringData', 'tls.crt');
  return readBundle(plain ?? Buffer.from(encoded, 'base64').toString('utf8'))[0];
}

function endOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** When the trusted CAs end (the last of them), and when the serving certificate does. */
function expiries(
  around: ClusterFacts,
  webhook: InjectingWebhook,
): readonly { what: string; end: number }[] {
  const cas = caOf(webhook);
  const served = servedOf(around, webhook);
  return [
    ...(cas.length === 0
      ? []
      : [{ what: 'The CA that the API server trusts', end: Math.max(...cas.map(endOf)) }]),
    ...(served === undefined
      ? []
      : [{ what: `The certificate in the Secret ${servingSecret(webhook)}`, end: endOf(served) }]),
  ];
}

function* forEachWebhook(
  around: ClusterFacts,
  check: (webhook: InjectingWebhook) => string | undefined,
) {
  for (const webhook of around.webhooks) {
    const report = check(webhook);
    if (report !== undefined) yield { object: refOf(webhook.configuration), report };
  }
}

/** Whether any pod depends on the webhook for its sidecar. */
function needsWebhook({ facts }: ClusterFacts): boolean {
  return facts.some(({ injection }) => injection !== undefined);
}

export const webhookRules: readonly ClusterRule[] = [
  {
    code: 'WEBHOOK_MISSING',
    severity: 'error',
    title: 'Pods have the label, but there is no webhook',
    why: 'Nothing adds the sidecar: the pods start unprotected.',
    fix: 'Install the chart (docs/install.md), or add the sidecar to the manifest with quiesce inject.',
    *check(around) {
      const { catalog, webhooks } = around;
      if (webhooks.length > 0 || catalog.scope === 'part' || !catalog.sees(CONFIGURATIONS)) return;
      if (!needsWebhook(around)) return;
      const object = { kind: 'MutatingWebhookConfiguration', name: 'quiesce' };
      yield { object, report: `No MutatingWebhookConfiguration is for the label ${INJECT_LABEL}.` };
    },
  },
  {
    code: 'WEBHOOK_SERVICE_MISSING',
    severity: 'error',
    title: 'The Service of the webhook does not exist',
    why: 'The API server cannot reach the webhook: pods start unprotected, or do not start if failurePolicy is Fail.',
    fix: 'Install the chart again, or remove the rest of it.',
    *check(around) {
      if (!around.catalog.sees('services')) return;
      yield* forEachWebhook(around, ({ service, serviceName, serviceNamespace }) =>
        service === undefined && serviceName !== ''
          ? `Its Service ${serviceNamespace}/${serviceName} does not exist.`
          : undefined,
      );
    },
  },
  {
    code: 'WEBHOOK_DOWN',
    severity: 'error',
    title: 'No replica of the webhook is available',
    why: 'Pods that are created now start unprotected, or do not start if failurePolicy is Fail.',
    fix: 'Follow docs/runbooks/QuiesceWebhookDown.md, then recreate the pods that started meanwhile.',
    *check(around) {
      yield* forEachWebhook(around, (webhook) =>
        webhook.service === undefined ? undefined : whyDown(around, webhook),
      );
    },
  },
  {
    code: 'WEBHOOK_CA_MISSING',
    severity: 'error',
    title: 'The configuration of the webhook has no CA',
    why: 'The API server trusts no certificate of the webhook, so the webhook has no effect.',
    fix: 'With self-managed certificates, the log of the webhook says why it could not write caBundle. With cert-manager, make sure that its CA injector runs.',
    *check(around) {
      yield* forEachWebhook(around, (webhook) => {
        const text = textAt(webhook.entry, 'clientConfig', 'caBundle') ?? '';
        // A manifest omits caBundle on purpose: the webhook or cert-manager writes it.
        const live = webhook.configuration.metadata?.uid !== undefined;
        if (text === '' && !live) return undefined;
        return caOf(webhook).length > 0
          ? undefined
          : 'Its caBundle does not contain a certificate.';
      });
    },
  },
  {
    code: 'CERTIFICATE_EXPIRED',
    severity: 'error',
    title: 'The certificate of the webhook, or its CA, has expired',
    why: 'The API server refuses it: pods start unprotected, or do not start if failurePolicy is Fail.',
    fix: 'Follow docs/runbooks/QuiesceCertificateExpiring.md.',
    *check(around) {
      yield* forEachWebhook(around, (webhook) => {
        const over = expiries(around, webhook).filter(({ end }) => end <= around.catalog.now);
        return over.length === 0
          ? undefined
          : over.map(({ what, end }) => `${what} expired on ${dayOf(end)}.`).join(' ');
      });
    },
  },
  {
    code: 'CERTIFICATE_EXPIRING',
    severity: 'warning',
    title: 'The certificate of the webhook, or its CA, expires within three weeks',
    why: 'It should have been renewed by now.',
    fix: 'Follow docs/runbooks/QuiesceCertificateExpiring.md.',
    *check(around) {
      const { now } = around.catalog;
      yield* forEachWebhook(around, (webhook) => {
        const soon = expiries(around, webhook).filter(
          ({ end }) => end > now && end <= now + SOON_MS,
        );
        return soon.length === 0
          ? undefined
          : soon.map(({ what, end }) => `${what} expires on ${dayOf(end)}.`).join(' ');
      });
    },
  },
  {
    code: 'WEBHOOK_CA_MISMATCH',
    severity: 'error',
    title: 'The webhook serves a certificate that the API server does not trust',
    why: 'Another CA signed it, or it is for another name: the webhook has no effect.',
    fix: 'Put the CA that signed it into caBundle, and make sure that the certificate is for SERVICE.NAMESPACE.svc.',
    *check(around) {
      yield* forEachWebhook(around, (webhook) => {
        const [cas, served] = [caOf(webhook), servedOf(around, webhook)];
        if (served === undefined || cas.length === 0) return undefined;
        const host = `${webhook.serviceName}.${webhook.serviceNamespace}.svc`;
        if (served.checkHost(host) === undefined)
          return `The certificate it serves is not for ${host}.`;
        const trusted = cas.some(
          (ca) => served.verify(ca.publicKey) || served.fingerprint256 === ca.fingerprint256,
        );
        return trusted ? undefined : 'No CA in its caBundle signed the certificate it serves.';
      });
    },
  },
  {
    code: 'WEBHOOK_POLICY_DIFFERS',
    severity: 'warning',
    title: 'The webhook and its configuration have different failure policies',
    why: 'A pod with invalid annotations is admitted when it should be refused, or the other way round.',
    fix: 'Set webhook.failurePolicy in the values of the chart, which sets both.',
    *check(around) {
      yield* forEachWebhook(around, ({ entry, options }) => {
        const policy = textAt(entry, 'failurePolicy') ?? 'Fail';
        return options === undefined || options.failurePolicy === policy
          ? undefined
          : `Its failurePolicy is ${policy}, but the webhook runs with --failure-policy=${options.failurePolicy}.`;
      });
    },
  },
];

/** Rules on pods for which the API server does not call the webhook. */
export const webhookPodRules: readonly PodRule[] = [
  {
    code: 'WEBHOOK_NOT_CALLED',
    severity: 'error',
    title: 'The webhook is not called for a pod with the label',
    why: 'The selectors of its configuration exclude the namespace or the pod: the pod starts unprotected.',
    fix: 'Remove the namespace from webhook.excludedNamespaces, or give it the labels of webhook.namespaceMatchExpressions.',
    *check(facts, { webhooks, catalog }) {
      if (facts.injection?.outcome !== 'injected' || webhooks.length === 0) return;
      const answers = webhooks.map((webhook) => isCalledFor(catalog, webhook, facts));
      if (answers.some((answer) => answer !== false)) return;
      const names = webhooks.map(({ configuration }) => configuration.metadata?.name).join(', ');
      yield `${names} excludes its namespace ${facts.workload.namespace}, or its labels.`;
    },
  },
];
