import type { ClusterWatcher } from '../api/watch.ts';
import { listAt, textAt } from '../objects/kube-object.ts';

const PAGE = 500;

/** Which of the known namespaces do not exist any more. Empty if that cannot be told. */
export async function missingNamespaces(
  cluster: Pick<ClusterWatcher, 'get'>,
  known: readonly string[],
  only: readonly string[],
): Promise<readonly string[]> {
  if (known.length === 0) return [];
  try {
    const present = only.length > 0 ? await each(cluster, known) : await all(cluster);
    return present === undefined ? [] : known.filter((name) => !present.has(name));
  } catch {
    // The API server does not answer: the readers of the other kinds report it.
    return [];
  }
}

async function each(
  cluster: Pick<ClusterWatcher, 'get'>,
  known: readonly string[],
): Promise<ReadonlySet<string>> {
  const present = new Set<string>();
  for (const name of known) {
    const { status } = await cluster.get(`/api/v1/namespaces/${encodeURIComponent(name)}`);
    if (status !== 404) present.add(name);
  }
  return present;
}

async function all(cluster: Pick<ClusterWatcher, 'get'>): Promise<ReadonlySet<string> | undefined> {
  const present = new Set<string>();
  let token: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(PAGE), ...(token && { continue: token }) });
    const { status, body } = await cluster.get(`/api/v1/namespaces?${query.toString()}`);
    if (status !== 200) return undefined;
    for (const one of listAt(body, 'items')) present.add(textAt(one, 'metadata', 'name') ?? '');
    token = textAt(body, 'metadata', 'continue');
  } while (token);
  return present;
}
