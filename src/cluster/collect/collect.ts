import { redact } from '../../lib/redact.ts';
import { withDeadline } from '../../lib/deadline.ts';
import { VERSION } from '../../version.ts';
import { CONFIG_MAPS, each, type Kind, ObjectApi, pathOf } from '../api/objects.ts';
import type { PodConnection } from '../api/reader.ts';
import { type Inventory, type KubeObject, namespaceOf, textAt } from '../inventory/catalog.ts';
import { ClusterHealth } from '../health/health.ts';
import { locate } from '../health/locate.ts';
import type { Planned } from '../plan/plan.ts';
import { RUN_LABELS } from '../run/names.ts';
import { validate } from '../validate/validate.ts';
import type { Entry } from './archive.ts';
import { redactObject } from './redact-object.ts';
import { readSidecars } from './sidecars.ts';

export interface CollectOptions {
  readonly veleroNamespace: string;
  /** How long each part may take. */
  readonly partMs: number;
  progress(sentence: string): void;
}

export interface Collected {
  readonly entries: readonly Entry[];
  /** What could not be read, and why. */
  readonly unread: readonly string[];
}

const SECRETS: Kind = { group: '', version: 'v1', plural: 'secrets' };
const EVENTS: Kind = { group: '', version: 'v1', plural: 'events' };
const SNAPSHOTS: Kind = {
  group: 'snapshot.storage.k8s.io',
  version: 'v1',
  plural: 'volumesnapshots',
};
const velero = (plural: string): Kind => ({ group: 'velero.io', version: 'v1', plural });
const OF_VELERO = [
  'backups',
  'restores',
  'schedules',
  'backupstoragelocations',
  'volumesnapshotlocations',
];
const NEWEST = 100;
const LOG_BYTES = 512 * 1_024;

/** Reads what helps to find a fault, part by part. A part that cannot be read is named, and stops no other. */
export async function collect(
  connection: PodConnection,
  inventory: Inventory,
  planned: Planned | { readonly problem: string },
  options: CollectOptions,
  signal: AbortSignal,
): Promise<Collected> {
  const entries: Entry[] = [];
  const unread: string[] = inventory.unexamined.map(
    ({ resource, namespace, reason }) =>
      `${resource}${namespace === undefined ? '' : ` in ${namespace}`}: ${reason}`,
  );
  const api = new ObjectApi(connection);
  const part = async (name: string, work: () => Promise<readonly Entry[]>): Promise<void> => {
    signal.throwIfAborted();
    options.progress(`collecting ${name}`);
    try {
      entries.push(...(await withDeadline(options.partMs, work())));
    } catch (error) {
      unread.push(`${name}: ${redact(error instanceof Error ? error.message : String(error))}`);
    }
  };
  const namespaces = inventory.namespaces ?? ('plan' in planned ? planned.plan.namespaces : []);
  await part('versions', async () => {
    const { body } = await connection.get('/version');
    return [json('versions.json', { quiesce: VERSION, node: process.version, kubernetes: body })];
  });
  entries.push(json('objects.json', inventory.objects.map(redactObject)));
  if ('plan' in planned) {
    entries.push(json('plan.json', scrubbed(planned.plan)));
    await part('validation', async () => [
      json(
        'validation.json',
        scrubbed(
          await validate(
            connection,
            planned,
            { restartsWithinMs: 600_000, progress: () => undefined },
            signal,
          ),
        ),
      ),
    ]);
    await part('sidecars', () => sidecarsOf(connection, planned, signal));
  } else unread.push(`plan: ${planned.problem}`);
  await part('events', async () => [
    json('events.json', (await api.listIn(EVENTS, namespaces)).map(redactObject)),
  ]);
  await part('secrets', async () => {
    const found = await api.listIn(SECRETS, namespaces);
    return [
      json(
        'secrets.json',
        found.map((one) => redactObject({ ...one, kind: 'Secret' })),
      ),
    ];
  });
  await part('runs', async () => {
    const found = await api.listIn(CONFIG_MAPS, namespaces, RUN_LABELS.report);
    return [
      json(
        'runs.json',
        found.map((one) => scrubbed(redactObject({ ...one, kind: 'ConfigMap' }))),
      ),
    ];
  });
  await part('snapshots', async () => [
    json('snapshots.json', (await api.listIn(SNAPSHOTS, namespaces)).map(redactObject)),
  ]);
  for (const plural of OF_VELERO) {
    await part(`velero ${plural}`, async () => {
      const found = (await api.list(velero(plural), options.veleroNamespace)) ?? [];
      return [json(`velero/${plural}.json`, newest(found).map(redactObject))];
    });
  }
  await part('webhook', () => webhookOf(connection));
  return { entries, unread };
}

export function json(name: string, value: unknown): Entry {
  return { name, text: `${JSON.stringify(value, null, 2)}\n` };
}

/** Text inside our own documents: messages of databases and kubelets, which quote what they were given. */
function scrubbed(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_key, one: unknown) =>
    typeof one === 'string' ? redact(one) : one,
  ) as unknown;
}

function newest(objects: readonly KubeObject[]): readonly KubeObject[] {
  const made = (one: KubeObject): string => textAt(one, 'metadata', 'creationTimestamp') ?? '';
  return objects.toSorted((a, b) => made(b).localeCompare(made(a))).slice(0, NEWEST);
}

async function sidecarsOf(
  connection: PodConnection,
  { members }: Planned,
  signal: AbortSignal,
): Promise<readonly Entry[]> {
  const scene = await new ClusterHealth(connection).scene(members, signal);
  const pods = locate(scene.catalog, members).flatMap((one) => one.pods);
  const words = [...scene.logs].map(([key, lines]) => ({
    name: `logs/${key}.last.log`,
    text: `${lines.join('\n')}\n`,
  }));
  const found = await each(pods, (pod) => readSidecars(connection, pod, signal), 10);
  return [...words, ...found.flat()];
}

/** The pods of the webhook, wherever they are. */
async function webhookOf(connection: PodConnection): Promise<readonly Entry[]> {
  const pods: Kind = { group: '', version: 'v1', plural: 'pods' };
  const found = await new ObjectApi(connection).list(
    pods,
    undefined,
    'app.kubernetes.io/name=quiesce',
  );
  const logs = await each(
    found ?? [],
    async (pod): Promise<readonly Entry[]> => {
      const name = pod.metadata?.name ?? '';
      const text = await logOf(connection, namespaceOf(pod), name, undefined);
      return [{ name: `webhook/${name}.log`, text }];
    },
    4,
  );
  return [json('webhook/pods.json', (found ?? []).map(redactObject)), ...logs.flat()];
}

/** The end of a log, without secrets; or why there is none. */
export async function logOf(
  connection: Pick<PodConnection, 'get'>,
  namespace: string,
  pod: string,
  container: string | undefined,
): Promise<string> {
  const query = new URLSearchParams({
    tailLines: '1000',
    limitBytes: String(LOG_BYTES),
    ...(container !== undefined && { container }),
  });
  const pods: Kind = { group: '', version: 'v1', plural: 'pods' };
  const answer = await connection.get(`${pathOf(pods, namespace, pod)}/log?${query.toString()}`);
  const text = answer.text ?? JSON.stringify(answer.body ?? {});
  return answer.status === 200 ? redact(text) : `not read: ${answer.status} ${redact(text)}\n`;
}
