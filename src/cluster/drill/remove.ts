import { setTimeout as sleep } from 'node:timers/promises';
import { QuiesceError } from '../../errors.ts';
import { CONTENTS, each, type ObjectApi, PODS, VOLUMES } from '../api/objects.ts';
import { type KubeObject, textAt } from '../objects/kube-object.ts';
import { RESTORE } from '../restore/names.ts';
import { NAMESPACES } from '../restore/namespaces.ts';
import { patch, readMade, remove, removeMade, setPolicy } from '../restore/volumes/remove.ts';

const LOOK_EVERY_MS = 500;

/**
 * Removes all that a drill has made, and waits until it is gone. It may be called at any time, by anybody who
 * knows its id, and again.
 *
 * @param names scratch namespaces that are known, whether they are there or not
 * @returns what is left, for people; empty: everything is gone
 */
export async function removeDrill(
  api: ObjectApi,
  id: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const label = `${RESTORE.drill}=${id}`;
  for (;;) {
    const found = (await api.list(NAMESPACES, undefined, label)) ?? [];
    const own = found.flatMap(({ metadata }) => metadata?.name ?? []);
    const namespaces = [...new Set([...names, ...own])];
    // Databases are not asked to shut down: nobody needs these volumes any more.
    const pods = await api.listIn(PODS, own, label);
    await each(pods.filter(isLeft), (one) => endPod(api, one));
    await removeMade(api, { id, namespaces, scratch: true });
    const volumes = await volumesOf(api, id, namespaces);
    await each(volumes, (one) => setPolicy(api, one, 'Delete'));
    await each(found.filter(isLeft), (one) => remove(api, NAMESPACES, one));
    const left = await leftOf(api, id, namespaces);
    if (left.length === 0 || signal.aborted) return left;
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

function isLeft({ metadata }: KubeObject): boolean {
  return metadata?.deletionTimestamp === undefined;
}

async function endPod(api: ObjectApi, pod: KubeObject): Promise<void> {
  const { namespace = '', name = '', uid } = pod.metadata ?? {};
  const body = {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    gracePeriodSeconds: 1,
    preconditions: { uid },
  };
  await api.send('DELETE', PODS, { namespace, name }, body);
}

/** Volumes that were bound in the scratch namespaces, and those that were marked when they were seen bound. */
async function volumesOf(
  api: ObjectApi,
  id: string,
  namespaces: readonly string[],
): Promise<readonly KubeObject[]> {
  const marked = (await api.list(VOLUMES, undefined, `${RESTORE.drill}=${id}`)) ?? [];
  const { volumes } = await readMade(api, { id, namespaces, scratch: true });
  return [...new Map([...marked, ...volumes].map((one) => [one.metadata?.name, one])).values()];
}

async function leftOf(
  api: ObjectApi,
  id: string,
  namespaces: readonly string[],
): Promise<readonly string[]> {
  const label = `${RESTORE.drill}=${id}`;
  const [spaces, contents, volumes] = await Promise.all([
    api.list(NAMESPACES, undefined, label),
    api.list(CONTENTS, undefined, label),
    volumesOf(api, id, namespaces),
  ]);
  const named = (kind: string, all: readonly KubeObject[] = []): readonly string[] =>
    all.map(({ metadata }) => `${kind}/${metadata?.name ?? ''}`);
  return [
    ...named('Namespace', spaces),
    ...named('VolumeSnapshotContent', contents),
    ...named('PersistentVolume', volumes),
  ];
}

/**
 * Marks the volumes that the storage has made for the claims of a drill, so that they are found after their
 * claims are gone, and are deleted with them: also where the class would retain them.
 *
 * @param known names of volumes that are marked already; the new ones are added
 */
export async function markVolumes(
  api: ObjectApi,
  {
    id,
    namespaces,
    expires,
  }: {
    readonly id: string;
    readonly namespaces: readonly string[];
    readonly expires: string;
  },
  known: Set<string>,
): Promise<void> {
  const { volumes } = await readMade(api, { id, namespaces, scratch: false });
  const fresh = volumes.filter(({ metadata }) => !known.has(metadata?.name ?? ''));
  await each(fresh, async (one) => {
    await patch(api, VOLUMES, one, {
      metadata: { labels: { [RESTORE.drill]: id }, annotations: { [RESTORE.expires]: expires } },
      spec: { persistentVolumeReclaimPolicy: 'Delete' },
    });
    known.add(one.metadata?.name ?? '');
  });
}

/** The API server's time, which decides what has expired: clocks of two machines differ. */
export async function serverTime(api: ObjectApi): Promise<number> {
  const path = '/api/v1/namespaces?dryRun=All';
  const answer = await api.post(path, {
    apiVersion: 'v1',
    kind: 'Namespace',
    // With the label of a drill: an account may be confined to such namespaces.
    metadata: { generateName: 'quiesce-time-', labels: { [RESTORE.drill]: 'time' } },
  });
  const time = Date.parse(textAt(answer.body, 'metadata', 'creationTimestamp') ?? '');
  if (!Number.isNaN(time)) return time;
  const why = textAt(answer.body, 'message') ?? `it answered ${answer.status}`;
  throw new QuiesceError('RESTORE_NOT_CREATED', `No namespace could be made: ${why}.`);
}
