import { applicationValue } from '../inject/application.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, listAt, namespaceOf, textAt } from '../objects/kube-object.ts';
import { locate } from '../health/locate.ts';
import { isReady } from '../health/pods/judge-pod.ts';
import { type Ends, endsOf, servicesOf } from '../health/services.ts';
import { APPLICATION } from '../objects/names.ts';
import { refText } from '../objects/kube-object.ts';
import type { PlanMember } from '../plan/document.ts';

/** What one item of `quiesce.dev/depends-on` leads to. */
export interface Wanted {
  readonly to: string;
  readonly ports: readonly Port[];
  /** Why there is nothing to connect to. */
  readonly why?: string;
}

export interface Port {
  /** `HOST:PORT`. */
  readonly target: string;
  /** Of the Service; absent: it is a port of a pod. */
  readonly ends?: Ends;
}

/** Ports that are not what an application depends on. */
const ASIDE =
  /metric|prom|exporter|health|probe|debug|epmd|dist|gossip|peer|raft|cluster|internal/i;

/** The names in `depends-on` of a member, one for each item. */
export function namesIn(annotations: Readonly<Record<string, string>>): readonly string[] {
  const { value = '' } = applicationValue(annotations, APPLICATION.dependsOn) ?? {};
  return value
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

/**
 * What a name leads to: the Service that it names, or all Services of the member that it names.
 *
 * @param members all members of the plan, and those that the name may mean
 */
export function wantedOf(
  text: string,
  from: PlanMember,
  members: readonly PlanMember[],
  catalog: Catalog,
): Wanted {
  const [before, after] = text.includes('/')
    ? (text.split('/') as [string, string])
    : [undefined, text];
  const isService = before !== undefined && /^(?:svc|services?)$/i.test(before);
  const other = before !== undefined && catalog.getGlobal('Namespace', before) !== undefined;
  const namespace = other ? before : from.namespace;
  const meant = members.filter(
    (one) => one.namespace === namespace && one.name === after && refText(one) !== refText(from),
  );
  if (isService || meant.length === 0) {
    const service = catalog.get('Service', namespace, after);
    if (service === undefined) return { to: text, ports: [], why: 'nobody has that name' };
    return { to: text, ...leadsTo([service], catalog) };
  }
  const pods = locate(catalog, meant).flatMap((one) => one.pods);
  const services = servicesOf(catalog, pods);
  if (services.length > 0) return { to: text, ...leadsTo(services, catalog) };
  const ports = pods.filter(isReady).flatMap(portsOfPod);
  if (ports.length > 0) return { to: text, ports };
  const why = pods.length === 0 ? 'it has no pods' : 'it has no Service, and its pods name no port';
  return { to: text, ports: [], why };
}

function leadsTo(services: readonly KubeObject[], catalog: Catalog): Omit<Wanted, 'to'> {
  const ports = services.flatMap((service) => portsOfService(service, catalog));
  return ports.length > 0 ? { ports } : { ports, why: 'its Service has no TCP port' };
}

function portsOfService(service: KubeObject, catalog: Catalog): readonly Port[] {
  const name = service.metadata?.name ?? '';
  const host = `${name}.${namespaceOf(service)}.svc`;
  const ends = endsOf(catalog, service);
  const tcp = listAt(service, 'spec', 'ports').filter(
    (one) => (textAt(one, 'protocol') ?? 'TCP') === 'TCP' && typeof at(one, 'port') === 'number',
  );
  const main = tcp.filter((one) => !ASIDE.test(textAt(one, 'name') ?? ''));
  return (main.length > 0 ? main : tcp).map((one) => ({
    target: `${host}:${String(at(one, 'port') as number)}`,
    ends,
  }));
}

function portsOfPod(pod: KubeObject): readonly Port[] {
  const ip = textAt(pod, 'status', 'podIP');
  if (ip === undefined) return [];
  const host = ip.includes(':') ? `[${ip}]` : ip;
  return listAt(pod, 'spec', 'containers').flatMap((container) =>
    listAt(container, 'ports').flatMap((one): readonly Port[] => {
      const port = at(one, 'containerPort');
      const name = textAt(one, 'name') ?? '';
      const tcp = (textAt(one, 'protocol') ?? 'TCP') === 'TCP';
      if (typeof port !== 'number' || !tcp || ASIDE.test(name) || name === 'quiesce') return [];
      return [{ target: `${host}:${port}` }];
    }),
  );
}
