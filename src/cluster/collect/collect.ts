import { redact } from '../../lib/redact.ts';
import { withDeadline } from '../../lib/deadline.ts';
import { VERSION } from '../../version.ts';
import { CONFIG_MAPS, each, type Kind, ObjectApi } from '../api/objects.ts';
import type { PodConnection } from '../api/reader.ts';
import type { Inventory } from '../inventory/catalog.ts';
import { type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import { ClusterHealth } from '../health/health.ts';
import { locate } from '../health/locate.ts';
import type { Planned } from '../plan/plan.ts';
import { RUN_LABELS } from '../run/names.ts';
import { validate } from '../validate/validate.ts';
import type { Entry } from './archive.ts';
import { logOf } from './logs.ts';
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
const RESTARTS_WITHIN_MS = 600_000;

type Work = () => Promise<readonly Entry[]>;

/** Reads what helps to find a fault, part by part. A part that cannot be read is named, and stops no other. */
export async function collect(
  connection: PodConnection,
  inventory: Inventory,
  planned: Planned | { readonly problem: string },
  options: CollectOptions,
  signal: AbortSignal,
): Promise<Collected> {
  const entries: Entry[] = [json('objects.json', inventory.objects.map(redactObject))];
  const unread: string[] = inventory.unexamined.map(
    ({ resource, namespace, reason }) =>
      `${resource}${namespace === undefined ? '' : ` in ${namespace}`}: ${reason}`,
  );
  const namespaces = inventory.namespaces ?? ('plan' in planned ? planned.plan.namespaces : []);
  const parts = {
    ...partsOfCluster(connection, namespaces, options.veleroNamespace),
    ...('plan' in planned ? partsOfPlan(connection, planned, signal) : {}),
  };
  if (!('plan' in planned)) unread.push(`plan: ${planned.problem}`);
  for (const [name, work] of Object.entries(parts)) {
    signal.throwIfAborted();
    options.progress(`collecting ${name}`);
    try {
      entries.push(...(await withDeadline(options.partMs, work())));
    } catch (error) {
      unread.push(`${name}: ${redact(error instanceof Error ? error.message : String(error))}`);
    }
  }
  return { entries, unread };
}

function partsOfPlan(
  connection: PodConnection,
  planned: Planned,
  signal: AbortSignal,
): Readonly<Record<string, Work>> {
  const options = { restartsWithinMs: RESTARTS_WITHIN_MS, progress: () => undefined };
  return {
    plan: () => Promise.resolve([json('plan.json', scrubbed(planned.plan))]),
    validation: async () => [
      json('validation.json', scrubbed(await validate(connection, planned, options, signal))),
    ],
    sidecars: () => sidecarsOf(connection, planned, signal),
  };
}

function partsOfCluster(
  connection: PodConnection,
  namespaces: readonly string[],
  veleroNamespace: string,
): Readonly<Record<string, Work>> {
  const api = new ObjectApi(connection);
  const listed = (file: string, kind: Kind, type: string, labels?: string): Work => {
    return async () => {
      const found = await api.listIn(kind, namespaces, labels);
      return [
        json(
          file,
          found.map((one) => scrubbed(redactObject({ ...one, kind: type }))),
        ),
      ];
    };
  };
  const ofVelero = OF_VELERO.map((plural): readonly [string, Work] => [
    `velero ${plural}`,
    async () => {
      const found = (await api.list(velero(plural), veleroNamespace)) ?? [];
      return [json(`velero/${plural}.json`, newest(found).map(redactObject))];
    },
  ]);
  return {
    versions: async () => {
      const { body } = await connection.get('/version');
      const all = { quiesce: VERSION, node: process.version, kubernetes: body };
      return [json('versions.json', all)];
    },
    events: listed('events.json', EVENTS, 'Event'),
    secrets: listed('secrets.json', SECRETS, 'Secret'),
    runs: listed('runs.json', CONFIG_MAPS, 'ConfigMap', RUN_LABELS.report),
    snapshots: listed('snapshots.json', SNAPSHOTS, 'VolumeSnapshot'),
    ...Object.fromEntries(ofVelero),
    webhook: () => webhookOf(connection),
  };
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
