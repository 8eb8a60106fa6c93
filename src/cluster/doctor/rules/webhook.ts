import type { X509Certificate } from 'node:crypto';
import { readBundle } from '../../certificates/rotation.ts';
import { INJECT_LABEL } from '../../objects/names.ts';
import {
  at,
  type Catalog,
  labelsOf,
  listAt,
  namespaceOf,
  refOf,
  textAt,
} from '../../inventory/catalog.ts';
import type { ClusterRule, PodRule } from '../rule.ts';
import { selects } from '../../inventory/selectors.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import { isCalledFor, type InjectingWebhook, servingSecret } from '../../inventory/webhook.ts';

const DAY_MS = 86_400_000;
/** Whatever renews certificates has done it by then: the webhook and cert-manager with a third left. */
const SOON_MS = 21 * DAY_MS;
const CONFIGURATIONS = 'mutatingwebhookconfigurations.admissionregistration.k8s.io';

function caOf({ entry }: InjectingWebhook): readonly X509Certificate[] {
  const text = textAt(entry, 'clientConfig', 'caBundle') ?? '';
  return readBundle(Buffer.from(text, 'base64').toString('utf8'));
}

/** The certificate that is served, where its Secret is among the objects. */
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

/** The end of what can be trusted, and of what is served. */
function ends(
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

function* each(around: ClusterFacts, say: (webhook: InjectingWebhook) => string | undefined) {
  for (const webhook of around.webhooks) {
    const report = say(webhook);
    if (report !== undefined) yield { object: refOf(webhook.configuration), report };
  }
}

/** Pods that depend on the webhook, because nobody else gives them their sidecar. */
function waiting({ facts }: ClusterFacts): boolean {
  return facts.some(({ injection }) => injection !== undefined);
}

export const webhookRules: readonly ClusterRule[] = [
  {
    code: 'WEBHOOK_MISSING',
    severity: 'error',
    title: 'Pods have the label, and there is no webhook',
    why: 'Nobody adds the sidecar: they start unprotected.',
    fix: 'Install the chart (docs/install.md), or write the sidecar into the manifest with quiesce inject.',
    *check(around) {
      const { catalog, webhooks } = around;
      if (webhooks.length > 0 || catalog.scope === 'part' || !catalog.sees(CONFIGURATIONS)) return;
      if (!waiting(around)) return;
      const object = { kind: 'MutatingWebhookConfiguration', name: 'quiesce' };
      yield { object, report: `No MutatingWebhookConfiguration is for the label ${INJECT_LABEL}.` };
    },
  },
  {
    code: 'WEBHOOK_SERVICE_MISSING',
    severity: 'error',
    title: 'The webhook’s Service is not there',
    why: 'The API server reaches nobody: pods start unprotected, or with failurePolicy Fail not at all.',
    fix: 'Install the chart anew, or remove what is left of it.',
    *check(around) {
      if (!around.catalog.sees('services')) return;
      yield* each(around, ({ service, serviceName, serviceNamespace }) =>
        service === undefined && serviceName !== ''
          ? `Its Service ${serviceNamespace}/${serviceName} does not exist.`
          : undefined,
      );
    },
  },
  {
    code: 'WEBHOOK_DOWN',
    severity: 'error',
    title: 'No replica of the webhook answers',
    why: 'Pods that are created now start unprotected, or with failurePolicy Fail not at all.',
    fix: 'docs/runbooks/QuiesceWebhookDown.md; afterwards create anew the pods that missed it.',
    *check(around) {
      yield* each(around, (webhook) =>
        webhook.service === undefined ? undefined : whyDown(around, webhook),
      );
    },
  },
  {
    code: 'WEBHOOK_CA_MISSING',
    severity: 'error',
    title: 'The API server is told no CA for the webhook',
    why: 'It trusts nobody’s certificate, so the webhook is never heard.',
    fix: 'Self-managed: see the webhook’s log, which says why it could not write caBundle. cert-manager: see that its CA injector runs.',
    *check(around) {
      yield* each(around, (webhook) => {
        const text = textAt(webhook.entry, 'clientConfig', 'caBundle') ?? '';
        // In a manifest it is left out on purpose: the webhook or cert-manager writes it.
        const live = webhook.configuration.metadata?.uid !== undefined;
        if (text === '' && !live) return undefined;
        return caOf(webhook).length > 0 ? undefined : 'Its caBundle holds no certificate.';
      });
    },
  },
  {
    code: 'CERTIFICATE_EXPIRED',
    severity: 'error',
    title: 'The webhook’s certificate, or its CA, has expired',
    why: 'The API server refuses it: pods start unprotected, or with failurePolicy Fail not at all.',
    fix: 'docs/runbooks/QuiesceCertificateExpiring.md.',
    *check(around) {
      yield* each(around, (webhook) => {
        const over = ends(around, webhook).filter(({ end }) => end <= around.catalog.now);
        return over.length === 0
          ? undefined
          : over.map(({ what, end }) => `${what} expired on ${dayOf(end)}.`).join(' ');
      });
    },
  },
  {
    code: 'CERTIFICATE_EXPIRING',
    severity: 'warning',
    title: 'The webhook’s certificate, or its CA, expires within three weeks',
    why: 'It should have been renewed by now; whatever renews it does not.',
    fix: 'docs/runbooks/QuiesceCertificateExpiring.md.',
    *check(around) {
      const { now } = around.catalog;
      yield* each(around, (webhook) => {
        const soon = ends(around, webhook).filter(({ end }) => end > now && end <= now + SOON_MS);
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
    why: 'It is signed by another CA, or for another name: the webhook is never heard.',
    fix: 'Put the CA that signed it into caBundle, and see that the certificate is for SERVICE.NAMESPACE.svc.',
    *check(around) {
      yield* each(around, (webhook) => {
        const [cas, served] = [caOf(webhook), servedOf(around, webhook)];
        if (served === undefined || cas.length === 0) return undefined;
        const host = `${webhook.serviceName}.${webhook.serviceNamespace}.svc`;
        if (served.checkHost(host) === undefined) return `What it serves is not for ${host}.`;
        const trusted = cas.some(
          (ca) => served.verify(ca.publicKey) || served.fingerprint256 === ca.fingerprint256,
        );
        return trusted ? undefined : 'No CA of its caBundle has signed the certificate it serves.';
      });
    },
  },
  {
    code: 'WEBHOOK_POLICY_DIFFERS',
    severity: 'warning',
    title: 'The webhook and its configuration have different failure policies',
    why: 'A pod with bad annotations is admitted where it should be refused, or the other way round.',
    fix: 'Set webhook.failurePolicy in the chart’s values, which sets both.',
    *check(around) {
      yield* each(around, ({ entry, options }) => {
        const policy = textAt(entry, 'failurePolicy') ?? 'Fail';
        return options === undefined || options.failurePolicy === policy
          ? undefined
          : `Its failurePolicy is ${policy}, and the webhook runs with --failure-policy=${options.failurePolicy}.`;
      });
    },
  },
];

/** A pod that the webhook is never asked about. */
export const webhookPodRules: readonly PodRule[] = [
  {
    code: 'WEBHOOK_NOT_CALLED',
    severity: 'error',
    title: 'The webhook is not called for a pod with the label',
    why: 'The selectors of its configuration leave out the namespace or the pod: it starts unprotected.',
    fix: 'Take the namespace out of webhook.excludedNamespaces, or give it the labels of webhook.namespaceMatchExpressions.',
    *check(facts, { webhooks, catalog }) {
      if (facts.injection?.outcome !== 'injected' || webhooks.length === 0) return;
      const answers = webhooks.map((webhook) => isCalledFor(catalog, webhook, facts));
      if (answers.some((answer) => answer !== false)) return;
      const names = webhooks.map(({ configuration }) => configuration.metadata?.name).join(', ');
      yield `${names} leaves out its namespace ${facts.workload.namespace}, or its labels.`;
    },
  },
];

function whyDown({ catalog }: ClusterFacts, webhook: InjectingWebhook): string | undefined {
  const { serviceNamespace, serviceName, deployment, service } = webhook;
  const place = `${serviceNamespace}/${serviceName}`;
  const slices = catalog
    .all('EndpointSlice.discovery.k8s.io')
    .filter((slice) => namespaceOf(slice) === serviceNamespace)
    .filter((slice) => labelsOf(slice)['kubernetes.io/service-name'] === serviceName);
  const ready = slices
    .flatMap((slice) => listAt(slice, 'endpoints'))
    .filter((endpoint) => at(endpoint, 'conditions', 'ready') !== false);
  if (slices.length > 0) {
    return ready.length > 0 ? undefined : `No endpoint of its Service ${place} is ready.`;
  }
  if (deployment !== undefined && at(deployment, 'spec', 'replicas') === 0) {
    return `Its Deployment ${refOf(deployment).name} is scaled to 0.`;
  }
  const status = at(deployment, 'status');
  if (status !== undefined && !(Number(at(status, 'availableReplicas') ?? 0) > 0)) {
    return `None of the pods of its Deployment ${deployment?.metadata?.name} is available.`;
  }
  if (deployment !== undefined && catalog.scope !== 'cluster') return undefined;
  if (hasPods(catalog, service, serviceNamespace)) return undefined;
  const selector = at(service, 'spec', 'selector');
  // Without a selector somebody else brings the endpoints.
  if (selector === undefined) return undefined;
  if (catalog.scope === 'cluster' && !catalog.sees('endpointslices.discovery.k8s.io'))
    return undefined;
  return `Nothing stands behind its Service ${place}.`;
}

function hasPods(catalog: Catalog, service: unknown, namespace: string): boolean {
  const matchLabels = at(service, 'spec', 'selector');
  if (matchLabels === undefined) return false;
  return catalog
    .all('Pod')
    .some((pod) => namespaceOf(pod) === namespace && selects({ matchLabels }, labelsOf(pod)));
}
