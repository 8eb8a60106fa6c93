import { entryOf, isEngineSetting, type Login } from '../../../engines/names.ts';
import { Environment } from '../../inject/environment.ts';
import type { EnvVar } from '../../objects/pod.ts';
import { isWithin } from '../../inject/volumes.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { at, type Catalog, type KubeObject, textAt } from '../../inventory/catalog.ts';
import type { PodRule } from '../rule.ts';

/** Objects from which a Secret of a name will be made. */
const MAKERS = ['SealedSecret.bitnami.com', 'ExternalSecret.external-secrets.io'];
const REFERENCE = /\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g;
/** A Secret that the sidecar, and a key if one is named, depends on. */
export interface SecretUse {
  readonly name: string;
  readonly key: string | undefined;
  /** The variable, or the annotation, that names it. */
  readonly by: string;
  /** The database's own container uses it as well: then it is there wherever the database starts. */
  readonly shared: boolean;
}

/** The Secrets of a sidecar. */
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

/** `undefined`: it cannot be known. */
function exists(catalog: Catalog, namespace: string, use: SecretUse): boolean | undefined {
  if (catalog.get('Secret', namespace, use.name) !== undefined) return true;
  const made = MAKERS.some((kind) =>
    catalog
      .all(kind)
      .some((one) =>
        [one.metadata?.name, textAt(one, 'spec', 'target', 'name')].includes(use.name),
      ),
  );
  if (made) return true;
  if (!catalog.sees('secrets', namespace)) return undefined;
  // Secrets are seldom kept beside manifests; the one that only the sidecar uses is easily forgotten.
  return catalog.scope === 'cluster' || !use.shared ? false : undefined;
}

/** Names only: no value of a Secret is ever looked at here. */
function keysOf(secret: KubeObject): readonly string[] {
  return [at(secret, 'data'), at(secret, 'stringData')].flatMap((data) => Object.keys(data ?? {}));
}

export const credentialRules: readonly PodRule[] = [
  {
    code: 'SECRET_MISSING',
    severity: 'error',
    title: 'A Secret with the sidecar’s login is not there',
    why: 'The sidecar starts without a login (ENGINE_AUTH), or its container does not start.',
    fix: 'Create the Secret in the pod’s namespace, or name the right one.',
    *check(facts, { catalog }) {
      const { namespace } = facts.workload;
      for (const use of secretUses(facts)) {
        if (exists(catalog, namespace, use) === false) {
          const where =
            catalog.scope === 'cluster' ? `in the namespace ${namespace}` : 'among these manifests';
          yield `${use.by} names the Secret ${use.name}, which is not ${where}.`;
        }
      }
    },
  },
  {
    code: 'SECRET_KEY_MISSING',
    severity: 'error',
    title: 'A Secret lacks what the sidecar takes from it',
    why: 'The sidecar starts without a login (ENGINE_AUTH), or its container does not start.',
    fix: 'Put the key into the Secret; quiesce.dev/credentials-secret wants username and password, or the engine’s own names.',
    *check(facts, { catalog }) {
      const engine = facts.database?.profile.name;
      for (const use of secretUses(facts)) {
        const secret = catalog.get('Secret', facts.workload.namespace, use.name);
        if (secret === undefined) continue;
        const keys = keysOf(secret);
        if (use.key !== undefined) {
          if (!keys.includes(use.key))
            yield `${use.by} takes ${use.key} of the Secret ${use.name}, which has no such key.`;
        } else if (
          !keys.includes('password') &&
          !keys.some((key) => engine === undefined || isEngineSetting(key, engine))
        ) {
          yield `The Secret ${use.name} of ${use.by} has neither password nor a name of the engine’s own.`;
        }
      }
    },
  },
  {
    code: 'CREDENTIALS_MISSING',
    severity: 'error',
    title: 'The database has a password and the sidecar has none',
    why: 'The sidecar cannot log in (ENGINE_AUTH): every freeze fails.',
    fix: 'Give the container quiesce the login of its role by secretKeyRef, or name its Secret in quiesce.dev/credentials-secret.',
    *check(facts) {
      const { sidecar, database, env, mounts } = facts;
      if (sidecar === undefined || database === undefined || env.hasUnknown) return;
      const { login } = entryOf(database.profile.name);
      const own = new Environment(database.container);
      const shared = (path: string) => mounts.some(({ mountPath }) => isWithin(path, mountPath));
      const wanted = database.profile
        .connection({ container: database.container, env: own, shared })
        .some((entry) => entry.name.startsWith(login.password));
      if (!wanted || usesSocket(facts, login) || bringsPassword(facts, login)) return;
      yield `${database.container.name} is given a password, and the container ${sidecar.name} none.`;
    },
  },
  {
    code: 'ENV_UNRESOLVED',
    severity: 'error',
    title: 'A variable of the sidecar refers to one that is not there',
    why: 'The kubelet leaves such a reference as it is: the sidecar takes it as not set.',
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

/** A login over the server's own socket may need no password. */
function usesSocket({ env }: PodFacts, { socket }: Login): boolean {
  if (socket === undefined) return false;
  return env.plain(socket, `${socket}_DEFAULT`)?.startsWith('/') === true;
}

/** A connection string in plain text that names no user brings none. */
function bringsPassword({ env }: PodFacts, { password, others, url }: Login): boolean {
  const given = (name: string): boolean =>
    ['', '_FILE', '_DEFAULT'].some((form) => env.has(`${name}${form}`));
  if ([password, ...others].some(given)) return true;
  return url !== undefined && given(url) && (env.plain(url)?.includes('@') ?? true);
}
