import { entryOf, isEngineSetting, type Login } from '../../../engines/names.ts';
import { Environment } from '../../inject/environment.ts';
import { unknownLogin } from '../../inject/login.ts';
import type { EnvVar } from '../../objects/pod.ts';
import { isInside } from '../../../lib/paths.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { secretsMadeBy } from '../../plan/custom-resources.ts';
import type { Catalog } from '../../inventory/catalog.ts';
import { at, type KubeObject, listAt, textAt } from '../../objects/kube-object.ts';
import type { PodRule } from '../rule.ts';

const REFERENCE = /\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g;
/** A reference of the sidecar to a Secret, or to one key of it. */
export interface SecretUse {
  readonly name: string;
  readonly key: string | undefined;
  /** The variable or the annotation with the reference. */
  readonly by: string;
  /** The database's container uses it as well, so it exists wherever the database starts. */
  readonly shared: boolean;
}

/** All Secrets that a sidecar refers to. */
export function secretUses({ sidecar, database, settings }: PodFacts): readonly SecretUse[] {
  const shared = new Set(
    [...(database?.container.env ?? []), ...(database?.container.envFrom ?? [])].flatMap(
      (one) => secretOf(one)?.name ?? [],
    ),
  );
  const annotated = settings.credentialsSecret;
  const named =
    annotated === undefined
      ? []
      : [{ name: annotated, key: undefined, by: 'quiesce.dev/credentials-secret', shared: false }];
  const env = (sidecar?.env ?? []).flatMap((entry): SecretUse[] => {
    const found = secretOf(entry);
    if (found === undefined || found.name === annotated) return [];
    return [{ ...found, by: entry.name, shared: shared.has(found.name) }];
  });
  return [...named, ...env];
}

function secretOf(one: EnvVar | object): { name: string; key: string | undefined } | undefined {
  const reference = at(one, 'valueFrom', 'secretKeyRef') ?? at(one, 'secretRef');
  const name = textAt(reference, 'name');
  return name === undefined ? undefined : { name, key: textAt(reference, 'key') };
}

/** Whether the Secret exists, or will be created; `undefined`: unknown. */
function exists(catalog: Catalog, namespace: string, use: SecretUse): boolean | undefined {
  if (catalog.get('Secret', namespace, use.name) !== undefined) return true;
  if (isMade(catalog, namespace, use.name)) return true;
  if (!catalog.sees('secrets', namespace)) return undefined;
  // Manifests seldom include Secrets, so an absent one proves little. The exception is a Secret that only
  // the sidecar uses, which is easily forgotten.
  return catalog.scope === 'cluster' || !use.shared ? false : undefined;
}

/** Kubernetes' own groups have no dot, or end in `.k8s.io`; their objects make no Secrets. */
function isCustom({ apiVersion = '' }: KubeObject): boolean {
  const group = apiVersion.split('/')[0] ?? '';
  return apiVersion.includes('/') && group.includes('.') && !/(?:^|\.)k8s\.io$/.test(group);
}

/**
 * Whether a controller or a tool makes the Secret: one whose objects are known to, or any custom resource that
 * names it. kustomize adds a hash to the name.
 */
function isMade(catalog: Catalog, namespace: string, name: string): boolean {
  const quoted = JSON.stringify(name);
  return catalog.kinds
    .flatMap((kind) => catalog.all(kind))
    .filter((one) => one.kind !== 'Secret')
    .some((one) => {
      const everywhere =
        one.metadata?.namespace === undefined || /^Cluster|^Kustomization$/.test(one.kind ?? '');
      if (!everywhere && one.metadata?.namespace !== namespace) return false;
      const generated = listAt(one, 'secretGenerator').some(
        (each) => textAt(each, 'name') === name,
      );
      return (
        generated ||
        secretsMadeBy(one).includes(name) ||
        (isCustom(one) && JSON.stringify(one).includes(quoted))
      );
    });
}

/** The names of the keys only: the doctor never reads the value of a Secret here. */
function keysOf(secret: KubeObject): readonly string[] {
  return [at(secret, 'data'), at(secret, 'stringData')].flatMap((data) => Object.keys(data ?? {}));
}

export const credentialRules: readonly PodRule[] = [
  {
    code: 'SECRET_MISSING',
    severity: 'error',
    title: 'A Secret with the sidecar’s login does not exist',
    why: 'The sidecar starts without a login (ENGINE_AUTH), or its container does not start.',
    fix: 'Create the Secret in the namespace of the pod, or correct the reference.',
    *check(facts, { catalog }) {
      const { namespace } = facts.workload;
      for (const use of secretUses(facts)) {
        if (exists(catalog, namespace, use) === false) {
          const where =
            catalog.scope === 'cluster' ? `in the namespace ${namespace}` : 'among these manifests';
          yield `${use.by} refers to the Secret ${use.name}, which is not ${where}.`;
        }
      }
    },
  },
  {
    code: 'SECRET_KEY_MISSING',
    severity: 'error',
    title: 'A Secret lacks a key that the sidecar needs',
    why: 'The sidecar starts without a login (ENGINE_AUTH), or its container does not start.',
    fix: 'Add the key to the Secret. The Secret of quiesce.dev/credentials-secret needs username and password, or the engine’s own names.',
    *check(facts, { catalog }) {
      const engine = facts.database?.profile.name;
      for (const use of secretUses(facts)) {
        const secret = catalog.get('Secret', facts.workload.namespace, use.name);
        if (secret === undefined) continue;
        const keys = keysOf(secret);
        if (use.key !== undefined) {
          if (!keys.includes(use.key))
            yield `${use.by} refers to the key ${use.key} of the Secret ${use.name}, which has no such key.`;
        } else if (
          !keys.includes('password') &&
          !keys.some((key) => engine === undefined || isEngineSetting(key, engine))
        ) {
          yield `The Secret ${use.name} of ${use.by} has neither the key password nor one of the engine’s own names.`;
        }
      }
    },
  },
  {
    code: 'CREDENTIALS_MISSING',
    severity: 'error',
    title: 'The database has a password, but the sidecar has none',
    why: 'The sidecar cannot log in (ENGINE_AUTH): every freeze fails.',
    fix: 'Give the container quiesce the login of its role with secretKeyRef, or set quiesce.dev/credentials-secret to its Secret.',
    *check(facts) {
      const { sidecar, database, env, mounts } = facts;
      if (sidecar === undefined || database === undefined || env.hasUnknown) return;
      const { login } = entryOf(database.profile.name);
      const own = new Environment(database.container);
      const shared = (path: string) => mounts.some(({ mountPath }) => isInside(path, mountPath));
      const wanted = database.profile
        .connection({ container: database.container, env: own, shared })
        .some((entry) => entry.name.startsWith(login.password));
      if (!wanted || usesSocket(facts, login) || bringsPassword(facts, login)) return;
      yield `The container ${database.container.name} gets a password, but the container ${sidecar.name} does not.`;
    },
  },
  {
    code: 'CREDENTIALS_UNKNOWN',
    severity: 'warning',
    title: 'The database probably asks for a password, and the sidecar has none',
    why: 'If it does, the sidecar cannot log in (ENGINE_AUTH), and every freeze fails.',
    fix: 'Set quiesce.dev/credentials-secret to a Secret with username and password.',
    *check({ sidecar, database, workload, settings }) {
      if (sidecar === undefined || database === undefined) return;
      if (settings.credentialsSecret !== undefined) return;
      const why = unknownLogin(database, sidecar);
      if (why === undefined) return;
      const sentence = why.replace(/; set quiesce\.dev.*$/, '');
      const operator =
        workload.operator === undefined ? '' : ` (${workload.operator} knows the login)`;
      yield `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}${operator}.`;
    },
  },
  {
    code: 'ENV_UNRESOLVED',
    severity: 'error',
    title: 'A variable of the sidecar refers to an undefined variable',
    why: 'The kubelet does not replace such a reference, and the sidecar treats the variable as unset.',
    fix: 'Define the variable it refers to in the container quiesce, before the one that uses it.',
    *check({ sidecar, env }) {
      if (sidecar === undefined || env.hasUnknown) return;
      const before = new Set<string>();
      for (const { name, value } of sidecar.env ?? []) {
        for (const [, reference] of value?.matchAll(REFERENCE) ?? []) {
          if (reference !== undefined && !before.has(reference)) {
            yield `${name} refers to $(${reference}), which is not defined before it in the container ${sidecar.name}.`;
          }
        }
        before.add(name);
      }
    },
  },
];

/** Whether the login uses the server's own Unix socket, which may need no password. */
function usesSocket({ env }: PodFacts, { socket }: Login): boolean {
  if (socket === undefined) return false;
  return env.plain(socket, `${socket}_DEFAULT`)?.startsWith('/') === true;
}

/** Whether a password is set, alone or in a connection string. A plain URL without user info has none. */
function bringsPassword({ env }: PodFacts, { password, others, url }: Login): boolean {
  const given = (name: string): boolean =>
    ['', '_FILE', '_DEFAULT'].some((form) => env.has(`${name}${form}`));
  if ([password, ...others].some(given)) return true;
  return url !== undefined && given(url) && (env.plain(url)?.includes('@') ?? true);
}
