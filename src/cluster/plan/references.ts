import { groupBy } from '../../lib/group-by.ts';
import { selects } from '../inventory/selectors.ts';
import type { Catalog } from '../inventory/catalog.ts';
import {
  annotationsOf,
  at,
  type KubeObject,
  labelsOf,
  namespaceOf,
  type ObjectRef,
  textAt,
} from '../objects/kube-object.ts';
import { dependenciesOf } from './annotations.ts';
import type { Draft } from './member.ts';

/** What a name in `quiesce.dev/depends-on` stands for. */
export type Target =
  | { readonly kind: 'members'; readonly members: readonly Draft[]; readonly service?: string }
  /** It is there, and nothing of the application: no edge. */
  | { readonly kind: 'outside'; readonly why: string }
  /** A Service whose selector matches no pod. */
  | { readonly kind: 'empty'; readonly service: string }
  | { readonly kind: 'unknown'; readonly namespace: string; readonly name: string };

const SERVICE = /^(?:svc|services?)$/i;
const SHORT: Readonly<Record<string, string>> = {
  sts: 'statefulset',
  deploy: 'deployment',
  ds: 'daemonset',
  rs: 'replicaset',
  po: 'pod',
};
const WORKLOAD = /^(?:statefulset|deployment|daemonset|replicaset|pod)$/;

interface Reference {
  readonly namespace: string;
  readonly name: string;
  /** `service`, the kind of a member in lower case; `undefined`: any. */
  readonly kind: string | undefined;
}

/** Finds what names stand for, among all members of the inventory. */
export class References {
  readonly #catalog: Catalog;
  readonly #drafts: ReadonlyMap<string, readonly Draft[]>;
  readonly #notJudged: readonly ObjectRef[];

  constructor(catalog: Catalog, drafts: readonly Draft[], notJudged: readonly ObjectRef[]) {
    this.#catalog = catalog;
    this.#drafts = groupBy(drafts, ({ namespace }) => namespace);
    this.#notJudged = notJudged;
  }

  /** @param text one item of the list, such as `db`, `other-ns/queue`, `sts/db` or `svc/db` */
  find(text: string, from: Draft): Target {
    const reference = this.#read(text, from.namespace);
    const { namespace, name, kind } = reference;
    const members = kind === 'service' ? [] : this.#members(reference);
    if (members.length > 0) return { kind: 'members', members };
    if (kind === 'service' || kind === undefined) {
      const target = this.#service(namespace, name);
      if (target !== undefined) return target;
    }
    const other = this.#notJudged.find(
      (one) => one.name === name && (one.namespace ?? 'default') === namespace,
    );
    if (other === undefined) return { kind: 'unknown', namespace, name };
    return {
      kind: 'outside',
      why: `${other.kind}/${name} is of a kind that quiesce does not know`,
    };
  }

  /** Names that are there, for a hint. */
  names(namespace: string): readonly string[] {
    const services = this.#catalog
      .all('Service')
      .filter((one) => namespaceOf(one) === namespace)
      .flatMap(({ metadata }) => metadata?.name ?? []);
    return [
      ...this.#in(namespace).flatMap(({ name, services: own }) => [name, ...own]),
      ...services,
    ];
  }

  #in(namespace: string): readonly Draft[] {
    return this.#drafts.get(namespace) ?? [];
  }

  #read(text: string, own: string): Reference {
    const slash = text.indexOf('/');
    if (slash < 0) return { namespace: own, name: text, kind: undefined };
    const [place, name] = [text.slice(0, slash), text.slice(slash + 1)];
    if (SERVICE.test(place)) return { namespace: own, name, kind: 'service' };
    const kind = SHORT[place.toLowerCase()] ?? place.toLowerCase().replace(/s$/, '');
    const isKind =
      WORKLOAD.test(kind) ||
      (!this.#drafts.has(place) &&
        this.#in(own).some((one) => one.name === name && one.kind.toLowerCase() === kind));
    return isKind ? { namespace: own, name, kind } : { namespace: place, name, kind: undefined };
  }

  /** Members of this name; if there is none, those with a workload of this name. */
  #members({ namespace, name, kind }: Reference): readonly Draft[] {
    const fits = (one: string): boolean => kind === undefined || one.toLowerCase() === kind;
    const all = this.#in(namespace);
    const own = all.filter((one) => one.name === name && fits(one.kind));
    if (own.length > 0) return own;
    return all.filter(({ candidate }) =>
      candidate.workloads.some((one) => one.name === name && fits(one.kind)),
    );
  }

  #service(namespace: string, name: string): Target | undefined {
    const text = `Service/${name}`;
    const service = this.#catalog.get('Service', namespace, name);
    const selected = service === undefined ? [] : this.#selected(namespace, service);
    if (selected.length > 0) return { kind: 'members', members: selected, service: text };
    // The Services of an operator are absent from manifests, and select nothing while it has no pods.
    const made = this.#in(namespace).filter(({ services }) => services.includes(name));
    if (made.length > 0) return { kind: 'members', members: made, service: text };
    if (service === undefined) return undefined;
    if (textAt(service, 'spec', 'type') === 'ExternalName') {
      const host = textAt(service, 'spec', 'externalName') ?? 'another host';
      return { kind: 'outside', why: `${text} is an ExternalName: it stands for ${host}` };
    }
    if (selectorOf(service) !== undefined) return { kind: 'empty', service: text };
    return { kind: 'outside', why: `${text} has no selector: what it leads to is not known` };
  }

  #selected(namespace: string, service: KubeObject): readonly Draft[] {
    const matchLabels = selectorOf(service);
    if (matchLabels === undefined || textAt(service, 'spec', 'type') === 'ExternalName') return [];
    return this.#in(namespace).filter(({ podLabels }) =>
      podLabels.some((labels) => selects({ matchLabels }, labels)),
    );
  }
}

function selectorOf(service: KubeObject): Readonly<Record<string, string>> | undefined {
  const selector = at(service, 'spec', 'selector');
  const labels = labelsOf({ metadata: { labels: selector as Record<string, string> } });
  const present = typeof selector === 'object' && selector !== null;
  return present && Object.keys(labels).length > 0 ? labels : undefined;
}

const PLACES = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The namespaces that `quiesce.dev/depends-on` may name. */
export function namespacesNamed(objects: readonly KubeObject[]): readonly string[] {
  const named = objects.flatMap((object) => {
    const template = at(object, 'spec', 'template') as KubeObject | undefined;
    return [object, template].flatMap((one) => dependenciesOf(annotationsOf(one)));
  });
  const places = named.flatMap((one) => (one.includes('/') ? (one.split('/')[0] ?? '') : []));
  const isKind = (place: string): boolean =>
    SERVICE.test(place) || WORKLOAD.test(SHORT[place] ?? place.replace(/s$/, ''));
  return [...new Set(places)].filter((place) => PLACES.test(place) && !isKind(place));
}
