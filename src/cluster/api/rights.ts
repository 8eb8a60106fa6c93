import { QuiesceError } from '../../errors.ts';

/** A right of the Kubernetes API. Without a namespace it is one of the whole cluster. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly namespace?: string;
}

/**
 * What the API refused, with a manifest that grants it.
 *
 * @param enough what the manifest grants, where some of the rights would do
 * @param role the name of the role in the manifest
 */
export function forbidden(
  rights: readonly Right[],
  reason?: string,
  enough: readonly Right[] = rights,
  role = 'quiesce-snapshot',
): QuiesceError {
  const named = rights.map(describe).join(', ');
  const said = reason === undefined ? '' : ` (${reason})`;
  const manifest = manifestOf(enough, role);
  return new QuiesceError('FORBIDDEN', `The credentials may not ${named}${said}.`, {
    hint: `Apply this, and bind it to the user or service account:\n${manifest}`,
    details: { rights, enough, manifest, reason },
  });
}

/** One error for several, so that one manifest grants what all of them need. */
export function forbiddenTogether(errors: readonly QuiesceError[]): QuiesceError {
  const of = (field: 'rights' | 'enough'): readonly Right[] => {
    const all = errors.flatMap(({ details }) => details[field] as readonly Right[]);
    return [...new Map(all.map((one) => [describe(one), one])).values()];
  };
  const reason = errors[0]?.details['reason'] as string | undefined;
  return forbidden(of('rights'), reason, of('enough'));
}

function describe({ verb, group, resource, namespace }: Right): string {
  const full = group === '' ? resource : `${resource}.${group}`;
  return `${verb} ${full}${namespace === undefined ? '' : ` in ${namespace}`}`;
}

/** A Role for each namespace, and a ClusterRole for what has none. */
export function manifestOf(rights: readonly Right[], role = 'quiesce-snapshot'): string {
  const places = [...new Set(rights.map(({ namespace }) => namespace))];
  return places
    .map((place) =>
      roleOf(
        place,
        rights.filter(({ namespace }) => namespace === place),
        role,
      ),
    )
    .join('---\n');
}

function roleOf(namespace: string | undefined, rights: readonly Right[], role: string): string {
  const verbs = new Map<string, string[]>();
  for (const { verb, group, resource } of rights) {
    const key = JSON.stringify([group, resource]);
    verbs.set(key, [...new Set([...(verbs.get(key) ?? []), verb])]);
  }
  const rules = [...verbs].map(([key, list]) => {
    const [group, resource] = JSON.parse(key) as [string, string];
    return `  - { apiGroups: ['${group}'], resources: [${resource}], verbs: [${list.join(', ')}] }\n`;
  });
  const place = namespace === undefined ? '' : `, namespace: ${namespace}`;
  return (
    'apiVersion: rbac.authorization.k8s.io/v1\n' +
    `kind: ${namespace === undefined ? 'ClusterRole' : 'Role'}\n` +
    `metadata: { name: ${role}${place} }\n` +
    `rules:\n${rules.join('')}`
  );
}
