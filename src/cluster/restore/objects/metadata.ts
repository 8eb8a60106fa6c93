import { annotationsOf, type KubeObject, labelsOf } from '../../objects/kube-object.ts';
import { RESTORE } from '../names.ts';

/** Where objects go. */
export interface Moving {
  /** The id of the run. */
  readonly id: string;
  /** Namespaces of the source → of the target. */
  readonly namespaces: ReadonlyMap<string, string>;
  /** Ways into the application are restored elsewhere, too. */
  readonly withIngress: boolean;
}

/** Written by controllers, by tools about one object, or by runs. */
const NOT_COPIED =
  /^(?:kubectl\.kubernetes\.io\/last-applied-configuration|deployment\.kubernetes\.io\/|pv\.kubernetes\.io\/|volume\.(?:beta\.)?kubernetes\.io\/|endpoints\.kubernetes\.io\/|control-plane\.alpha\.kubernetes\.io\/|kubernetes\.io\/service-account\.|batch\.kubernetes\.io\/(?:job-tracking|controller-uid)|controller-uid$|velero\.io\/(?:restore-name|backup-name)$|cni\.projectcalico\.org\/|k8s\.v1\.cni\.cncf\.io\/network-status|quiesce\.dev\/(?:restore|run$|verdict$|drill$|expires$|maker$|release$|scaled-from))/;
/** Controllers of DNS and of load balancers act on them wherever they are. */
const OUTWARD =
  /^(?:external-dns\.alpha\.kubernetes\.io\/|service\.beta\.kubernetes\.io\/|metallb\.(?:io|universe\.tf)\/)/;
const HELM_NAMESPACE = 'meta.helm.sh/release-namespace';

/** Only what a user would have written: no uid, no owner, no finalizer, no marks of earlier runs. */
export function metadataOf(
  object: KubeObject,
  moving: Moving,
): NonNullable<KubeObject['metadata']> {
  const { name, generateName, namespace = '' } = object.metadata ?? {};
  const to = moving.namespaces.get(namespace) ?? namespace;
  const keep = ([key]: readonly [string, string]): boolean =>
    !NOT_COPIED.test(key) && (to === namespace || moving.withIngress || !OUTWARD.test(key));
  const labels = Object.fromEntries(Object.entries(labelsOf(object)).filter(keep));
  const annotations = Object.fromEntries(Object.entries(annotationsOf(object)).filter(keep));
  if (annotations[HELM_NAMESPACE] === namespace) annotations[HELM_NAMESPACE] = to;
  return {
    ...(name !== undefined && { name }),
    ...(name === undefined && generateName !== undefined && { generateName }),
    namespace: to,
    labels: { ...labels, [RESTORE.run]: moving.id },
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
}

/** Labels of templates that name one object. */
export function withoutKeys(value: unknown, keys: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}
