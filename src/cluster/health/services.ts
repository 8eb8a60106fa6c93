import type { Catalog } from '../inventory/catalog.ts';
import {
  at,
  type KubeObject,
  labelsOf,
  listAt,
  namespaceOf,
  textAt,
} from '../objects/kube-object.ts';
import { selects } from '../inventory/selectors.ts';
import { causeOf } from './scene.ts';
import type { Cause } from './state.ts';

/** The Services whose selector matches one of these pods. */
export function servicesOf(catalog: Catalog, pods: readonly KubeObject[]): readonly KubeObject[] {
  return catalog.all('Service').filter((service) => {
    const matchLabels = at(service, 'spec', 'selector') as Record<string, string> | undefined;
    if (matchLabels === undefined || Object.keys(matchLabels).length === 0) return false;
    if (textAt(service, 'spec', 'type') === 'ExternalName') return false;
    return pods.some(
      (pod) => namespaceOf(pod) === namespaceOf(service) && selects({ matchLabels }, labelsOf(pod)),
    );
  });
}

/** The addresses that a Service leads to. */
export interface Ends {
  readonly ready: number;
  readonly all: number;
  /** Its ports were found in no pod: a named targetPort that no container has. */
  readonly portless: boolean;
}

export function endsOf(catalog: Catalog, service: KubeObject): Ends {
  const slices = catalog
    .all('EndpointSlice.discovery.k8s.io')
    .filter(
      (one) =>
        namespaceOf(one) === namespaceOf(service) &&
        labelsOf(one)['kubernetes.io/service-name'] === service.metadata?.name,
    );
  const ends = slices.flatMap((one) => listAt(one, 'endpoints'));
  const wantsPorts = listAt(service, 'spec', 'ports').length > 0;
  const usable = slices.filter((one) => listAt(one, 'ports').length > 0 || !wantsPorts);
  // An absent condition counts as ready.
  const ready = usable
    .flatMap((one) => listAt(one, 'endpoints'))
    .filter((one) => at(one, 'conditions', 'ready') !== false).length;
  return { ready, all: ends.length, portless: ends.length > 0 && usable.length === 0 };
}

/** Services of the pods that lead nowhere. */
export function serviceCauses(catalog: Catalog, pods: readonly KubeObject[]): readonly Cause[] {
  return servicesOf(catalog, pods).flatMap((service): readonly Cause[] => {
    const namespace = namespaceOf(service);
    if (!catalog.sees('endpointslices.discovery.k8s.io', namespace)) return [];
    const ends = endsOf(catalog, service);
    if (ends.ready > 0) return [];
    if (ends.portless) {
      const text = 'Its targetPort is the name of a port that no container of its pods has';
      const hint = 'Correct the name in the Service, or in the pods.';
      return [causeOf(service, 'SERVICE_PORT_UNKNOWN', text, { hint, passing: false })];
    }
    const text =
      ends.all === 0 ? 'It has no endpoints yet' : `None of its ${ends.all} endpoints is ready`;
    const hint = 'If its pods are ready, look at the kube-controller-manager.';
    return [causeOf(service, 'SERVICE_WITHOUT_ENDPOINTS', text, { hint, passing: true })];
  });
}
