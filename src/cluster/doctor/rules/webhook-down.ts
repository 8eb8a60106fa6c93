import type { Catalog } from '../../inventory/catalog.ts';
import { at, labelsOf, listAt, namespaceOf, refOf } from '../../objects/kube-object.ts';
import { selects } from '../../inventory/selectors.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import type { InjectingWebhook } from '../../inventory/webhook.ts';

/** Why no pod answers for the webhook, as a sentence; `undefined`: one does, or it cannot be known. */
export function whyDown({ catalog }: ClusterFacts, webhook: InjectingWebhook): string | undefined {
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
  // A Service without a selector gets its endpoints from elsewhere.
  if (selector === undefined) return undefined;
  if (catalog.scope === 'cluster' && !catalog.sees('endpointslices.discovery.k8s.io'))
    return undefined;
  return `No pod belongs to its Service ${place}.`;
}

function hasPods(catalog: Catalog, service: unknown, namespace: string): boolean {
  const matchLabels = at(service, 'spec', 'selector');
  if (matchLabels === undefined) return false;
  return catalog
    .all('Pod')
    .some((pod) => namespaceOf(pod) === namespace && selects({ matchLabels }, labelsOf(pod)));
}
