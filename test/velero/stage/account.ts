import { readFile, writeFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { KUBECONFIG, state } from '../layout.ts';
import { until } from '../wait.ts';
import type { Stage } from './stage.ts';

export interface Account {
  readonly namespace: string;
  readonly name: string;
}

interface Config {
  readonly contexts: readonly { readonly context: Record<string, string> }[];
  users: readonly { readonly name: string; readonly user: object }[];
}

/** A kubeconfig with a token of a service account, as `kubectl create token` gives one to people. */
export async function kubeconfigOf(stage: Stage, { namespace, name }: Account): Promise<string> {
  const token = await stage.tools.kubectl(['-n', namespace, 'create', 'token', name]);
  const config = parse(await readFile(KUBECONFIG, 'utf8')) as Config;
  for (const { context } of config.contexts) context['user'] = name;
  config.users = [{ name, user: { token } }];
  const file = state(`${name}-${stage.tag}.kubeconfig`);
  await writeFile(file, stringify(config), { mode: 0o600 });
  return file;
}

/** A right of RBAC. Without a namespace it is one of a ClusterRole. */
export interface RoleRight {
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  readonly namespace?: string;
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** The rights of a Role in a namespace, or of a ClusterRole, one by one. */
export async function rightsOf(
  stage: Stage,
  role: string,
  namespace?: string,
): Promise<readonly RoleRight[]> {
  const place = namespace === undefined ? ['clusterrole', role] : ['role', role, '-n', namespace];
  const { rules } = await stage.tools.get<{ rules: readonly Rule[] }>(...place);
  return rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.map((verb) => ({ group, resource, verb, ...(namespace && { namespace }) })),
      ),
    ),
  );
}

/** Gives an account these rights and no others, and waits until the API server acts on it. */
export async function grant(
  stage: Stage,
  account: Account,
  rights: readonly RoleRight[],
  without: readonly RoleRight[],
): Promise<void> {
  const places = [...new Set(rights.map(({ namespace }) => namespace))];
  const left = rights.filter((right) => !without.some((one) => textOf(one) === textOf(right)));
  const objects = places.flatMap((place) => [
    roleOf(account, place, left),
    bindingOf(account, place),
  ]);
  await stage.tools.apply(objects.map((one) => stringify(one)).join('---\n'));
  // What is taken away, and a right that each role gives: each role changes as a whole.
  const kept = places.flatMap((place) => left.find(({ namespace }) => namespace === place) ?? []);
  for (const right of [...without, ...kept]) {
    const wanted = !without.includes(right);
    await until(`${textOf(right)}: ${wanted}`, 30_000, async () => {
      return (await may(stage, account, right)) === wanted;
    });
  }
}

async function may(stage: Stage, { namespace, name }: Account, right: RoleRight): Promise<boolean> {
  const { group, resource, verb, namespace: place } = right;
  const [plural = '', subresource] = resource.split('/');
  const full = group === '' ? plural : `${plural}.${group}`;
  const { stdout } = await stage.tools.tryKubectl([
    'auth',
    'can-i',
    verb,
    full,
    ...(subresource === undefined ? [] : [`--subresource=${subresource}`]),
    ...(place === undefined ? [] : ['-n', place]),
    `--as=system:serviceaccount:${namespace}:${name}`,
  ]);
  return stdout.trim() === 'yes';
}

export function textOf({ verb, resource, group }: RoleRight): string {
  return `${verb} ${group === '' ? resource : `${resource}.${group}`}`;
}

const RBAC = 'rbac.authorization.k8s.io';

function roleOf({ name }: Account, place: string | undefined, rights: readonly RoleRight[]) {
  const own = rights.filter(({ namespace }) => namespace === place);
  return {
    apiVersion: `${RBAC}/v1`,
    kind: place === undefined ? 'ClusterRole' : 'Role',
    metadata: { name, ...(place !== undefined && { namespace: place }) },
    rules: own.map(({ group, resource, verb }) => ({
      apiGroups: [group],
      resources: [resource],
      verbs: [verb],
    })),
  };
}

function bindingOf({ namespace, name }: Account, place: string | undefined) {
  const kind = place === undefined ? 'ClusterRole' : 'Role';
  return {
    apiVersion: `${RBAC}/v1`,
    kind: `${kind}Binding`,
    metadata: { name, ...(place !== undefined && { namespace: place }) },
    roleRef: { apiGroup: RBAC, kind, name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  };
}
