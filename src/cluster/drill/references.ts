import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import type { Pod } from '../objects/pod.ts';
import { type DrillMarks, marked } from './marks.ts';

/** A ConfigMap or Secret that a pod names. */
export interface ConfigRef {
  readonly kind: 'ConfigMap' | 'Secret';
  readonly name: string;
}

/** All ConfigMaps and Secrets that a pod names, those that may be missing, too. */
export function configRefs({ spec }: Pod): readonly ConfigRef[] {
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const all = [
    ...containers.flatMap(({ env = [], envFrom = [] }) => [
      ...env.flatMap(({ valueFrom }) => [
        ...named('ConfigMap', at(valueFrom, 'configMapKeyRef')),
        ...named('Secret', at(valueFrom, 'secretKeyRef')),
      ]),
      ...envFrom.flatMap((one) => [
        ...named('ConfigMap', one.configMapRef),
        ...named('Secret', one.secretRef),
      ]),
    ]),
    ...(spec?.volumes ?? []).flatMap((volume) => [
      ...named('ConfigMap', volume['configMap']),
      ...named('Secret', volume['secret'], 'secretName'),
      ...listAt(volume, 'projected', 'sources').flatMap((source) => [
        ...named('ConfigMap', at(source, 'configMap')),
        ...named('Secret', at(source, 'secret')),
      ]),
    ]),
    ...listAt(spec, 'imagePullSecrets').flatMap((one) => named('Secret', one)),
  ];
  return [...new Map(all.map((one) => [`${one.kind}/${one.name}`, one])).values()];
}

function named(kind: ConfigRef['kind'], reference: unknown, field = 'name'): readonly ConfigRef[] {
  const name = textAt(reference, field);
  return name === undefined || name === '' ? [] : [{ kind, name }];
}

/** The same data under the same name. A token of production's API server is never copied. */
export function copyOfConfig(
  object: KubeObject,
  namespace: string,
  marks: DrillMarks,
): KubeObject | undefined {
  const { apiVersion = 'v1', kind = '', metadata } = object;
  if (object['type'] === 'kubernetes.io/service-account-token') return undefined;
  const fields = ['type', 'data', 'binaryData', 'stringData'].flatMap((key) =>
    object[key] === undefined ? [] : [[key, object[key]] as const],
  );
  return {
    apiVersion,
    kind,
    metadata: marked(metadata?.name ?? '', namespace, marks),
    ...Object.fromEntries(fields),
  };
}
