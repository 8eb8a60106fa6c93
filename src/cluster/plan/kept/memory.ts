import { cleanPath } from '../../objects/clean-path.ts';
import type { Catalog } from '../../inventory/catalog.ts';
import { ANNOTATIONS } from '../../objects/names.ts';
import type { Container, Pod } from '../../objects/pod.ts';
import type { PlannedMember } from '../planned.ts';
import { knownContainer, mainContainer } from '../stages.ts';
import { isScratchPath, isWritten, runningContainers } from './mounts.ts';
import { redisPersistence } from './redis.ts';
import { volumeLoss } from './volumes.ts';

export const MEMORY = '(memory)';
export const IN_CONTAINER = '(container)';

/** A store that is no volume. */
export interface Unmounted {
  readonly volume: typeof MEMORY | typeof IN_CONTAINER;
  readonly why: string;
}

/** Servers that are configured as Redis is. */
const AS_REDIS = new Set(['redis', 'keydb']);
/** Servers that keep their data in memory, and on disk only where they have a volume for it. */
const GRIDS = new Set(['hazelcast', 'infinispan', 'ignite', 'tarantool', 'aerospike', 'mosquitto']);
/**
 * Servers that need no volume in every set-up: what they hold is elsewhere, as in an object store, or they hold
 * nothing by default.
 */
const NOTHING_BY_THEMSELVES = new Set(
  `redis-sentinel nats pulsar emqx vernemq hivemq nsq vault openbao consul nacos loki mimir tempo pyroscope
   cortex thanos tidb hbase druid pinot milvus cloudserver`.split(/\s+/),
);

/** What the pod's servers hold in no volume at all. A server that is not known is not judged. */
export function unmounted(
  pod: Pod,
  { namespace, annotations, volumeClaims }: PlannedMember,
  catalog: Catalog,
): readonly Unmounted[] {
  const mounted = new Set(
    runningContainers(pod).flatMap((one) => (one.volumeMounts ?? []).map(({ name }) => name)),
  );
  // A claim that no container mounts may be that of the server: the manifest leaves out the mount.
  const unclear = volumeClaims.some(({ volume }) => !mounted.has(volume));
  const main = mainContainer(pod, annotations);
  const all = runningContainers(pod).flatMap((container): Unmounted[] => {
    const known = knownContainer(container);
    const name =
      known?.engine ?? (container === main ? annotations[ANNOTATIONS.engine] : undefined);
    if (name === undefined || known?.stage === 'pooler') return [];
    const hasVolume = unclear || holdsData(container, pod);
    return [lossOf(name, container, hasVolume, { pod, namespace, catalog })].flatMap(
      (one) => one ?? [],
    );
  });
  return [...new Map(all.map((one) => [one.volume, one])).values()];
}

interface Place {
  readonly pod: Pod;
  readonly namespace: string;
  readonly catalog: Catalog;
}

function lossOf(
  engine: string,
  container: Container,
  hasVolume: boolean,
  { pod, namespace, catalog }: Place,
): Unmounted | undefined {
  const memory = (why: string): Unmounted => ({ volume: MEMORY, why: `${engine} ${why}` });
  const words = [...(container.command ?? []), ...(container.args ?? [])].join(' ');
  const noVolume = 'has no volume, so what it holds ends with its container';
  if (engine === 'memcached') return memory('keeps everything in memory');
  if (AS_REDIS.has(engine)) {
    const persistence = redisPersistence(container, pod, namespace, catalog);
    if (persistence === 'off')
      return memory('has neither save nor appendonly, so it is in memory only');
    return hasVolume ? undefined : memory(noVolume);
  }
  if (engine === 'dragonfly' || engine === 'garnet') {
    const env = (container.env ?? []).map(({ name }) => name).join(' ');
    const saves = /snapshot_cron|save_schedule|checkpoint|--aof|--recover/i.test(`${words} ${env}`);
    if (!saves) return memory('writes no snapshots, so it is in memory only');
    return hasVolume ? undefined : memory(noVolume);
  }
  if (hasVolume) return undefined;
  if (GRIDS.has(engine)) return memory(noVolume);
  if (engine === 'nats' && /(?:^|\s)(?:-js|--jetstream|-sd)\b/.test(words)) return memory(noVolume);
  if (NOTHING_BY_THEMSELVES.has(engine)) return undefined;
  return { volume: IN_CONTAINER, why: `${engine} ${noVolume}` };
}

/** Whether the container writes to a volume that may hold its data: neither scratch nor configuration. */
function holdsData({ volumeMounts = [] }: Container, pod: Pod): boolean {
  return volumeMounts.some((mount) => {
    if (!isWritten({ container: { name: '' }, mount }) || isForSomethingElse(mount.mountPath))
      return false;
    const volume = pod.spec?.volumes?.find(({ name }) => name === mount.name);
    // A volume that the pod does not define comes from a claim template.
    return (
      volume === undefined ||
      volume['persistentVolumeClaim'] !== undefined ||
      volume['ephemeral'] !== undefined ||
      volumeLoss(volume) !== undefined
    );
  });
}

function isForSomethingElse(path: string): boolean {
  return (
    isScratchPath(path) ||
    /^\/(?:etc|usr\/local\/etc|usr\/share|var\/log|scripts?|health|plugins|certs?|tls|logs?|docker-entrypoint-initdb\.d)(?:\/|$)|[^/]\/(?:conf|config|etc|tmp|logs?|plugins|certs?|tls)$/.test(
      cleanPath(path),
    )
  );
}
