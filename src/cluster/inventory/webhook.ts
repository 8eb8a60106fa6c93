import { isQuiesce } from '../inject/hooks.ts';
import { INJECT_LABEL } from '../objects/names.ts';
import { INJECT_DEFAULTS, type InjectConfig } from '../inject/options.ts';
import { readWebhookOptions, type WebhookOptions } from '../webhook/options.ts';
import type { PodFacts } from './pod-facts.ts';
import type { Catalog } from './catalog.ts';
import {
  at,
  type KubeObject,
  labelsOf,
  listAt,
  namespaceOf,
  textAt,
} from '../objects/kube-object.ts';
import { normalizePod } from '../objects/normalize.ts';
import { keysOfSelector, selects } from './selectors.ts';

/** A webhook of a MutatingWebhookConfiguration that injects the sidecar, with its Service and Deployment. */
export interface InjectingWebhook {
  readonly configuration: KubeObject;
  /** Its entry in the configuration. */
  readonly entry: unknown;
  readonly serviceNamespace: string;
  readonly serviceName: string;
  readonly service: KubeObject | undefined;
  readonly deployment: KubeObject | undefined;
  /** The flags of the Deployment; `undefined` if they cannot be read. */
  readonly options: WebhookOptions | undefined;
}

const NAME = 'inject.quiesce.dev';

export function webhooksOf(catalog: Catalog): readonly InjectingWebhook[] {
  return catalog
    .all('MutatingWebhookConfiguration.admissionregistration.k8s.io')
    .flatMap((configuration) =>
      listAt(configuration, 'webhooks')
        .filter(isOurs)
        .map((entry) => webhookOf(catalog, configuration, entry)),
    );
}

function isOurs(entry: unknown): boolean {
  return (
    textAt(entry, 'name') === NAME ||
    keysOfSelector(at(entry, 'objectSelector')).includes(INJECT_LABEL)
  );
}

function webhookOf(catalog: Catalog, configuration: KubeObject, entry: unknown): InjectingWebhook {
  const reference = at(entry, 'clientConfig', 'service');
  const serviceNamespace = textAt(reference, 'namespace') ?? '';
  const serviceName = textAt(reference, 'name') ?? '';
  const service = catalog.get('Service', serviceNamespace, serviceName);
  const deployment = service && deploymentOf(catalog, service);
  return {
    configuration,
    entry,
    serviceNamespace,
    serviceName,
    service,
    deployment,
    options: deployment && optionsOf(deployment),
  };
}

function deploymentOf(catalog: Catalog, service: KubeObject): KubeObject | undefined {
  const matchLabels = at(service, 'spec', 'selector');
  if (matchLabels === undefined) return undefined;
  return catalog.all('Deployment.apps').find((deployment) => {
    const template = at(deployment, 'spec', 'template') as KubeObject | undefined;
    return (
      namespaceOf(deployment) === namespaceOf(service) &&
      selects({ matchLabels }, labelsOf(template))
    );
  });
}

function optionsOf(deployment: KubeObject): WebhookOptions | undefined {
  const { spec } = normalizePod(at(deployment, 'spec', 'template'));
  const words = (spec?.containers ?? [])
    .map(({ command = [], args = [] }) => [...command, ...args])
    .map((all) => (isQuiesce(all[0]) ? all.slice(1) : all))
    .find(([verb]) => verb === 'webhook');
  if (words === undefined) return undefined;
  try {
    return readWebhookOptions(words.slice(1), {}, namespaceOf(deployment));
  } catch {
    // Flags of another version, or flags set by environment variables.
    return undefined;
  }
}

/** The webhook's settings for injection, or the defaults if its flags cannot be read. */
export function injectConfig(webhooks: readonly InjectingWebhook[]): InjectConfig {
  const options = webhooks.map((webhook) => webhook.options).find((one) => one !== undefined);
  return options?.inject ?? { ...INJECT_DEFAULTS, image: 'quiesce' };
}

/** Whether the API server calls this webhook for a pod; `undefined` if the namespace's labels are unknown. */
export function isCalledFor(
  catalog: Catalog,
  { entry }: InjectingWebhook,
  { workload, view }: PodFacts,
): boolean | undefined {
  if (!selects(at(entry, 'objectSelector'), labelsOf(view.pod))) return false;
  const selector = at(entry, 'namespaceSelector');
  const namespace = catalog.getGlobal('Namespace', workload.namespace);
  const known = { 'kubernetes.io/metadata.name': workload.namespace };
  if (namespace !== undefined) return selects(selector, { ...labelsOf(namespace), ...known });
  const others = keysOfSelector(selector).some((key) => !Object.hasOwn(known, key));
  return others ? undefined : selects(selector, known);
}

/** The name of the Secret with the webhook's serving certificate. */
export function servingSecret({ options, deployment }: InjectingWebhook): string | undefined {
  if (options?.certificates.mode === 'self-managed') return options.certificates.secret;
  const volumes = listAt(deployment, 'spec', 'template', 'spec', 'volumes');
  return volumes.map((one) => textAt(one, 'secret', 'secretName')).find((one) => one !== undefined);
}
