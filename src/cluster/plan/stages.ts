import { ANNOTATIONS, CONTAINER, DEFAULT_CONTAINER } from '../objects/names.ts';
import type { Container, Pod } from '../objects/pod.ts';
import { DECORATIONS, IMAGES, type KnownImage } from './known-images.ts';

export type { ImageStage, KnownImage } from './known-images.ts';

/** What an image is known as, with its stage; `undefined`: it is not known. */
export function knownImage(image: string): KnownImage | undefined {
  const parts = image.replace(/@.*$/, '').toLowerCase().split('/');
  const [last = '', tag = ''] = (parts.at(-1) ?? '').split(':');
  const byTag = nameInTag(last, tag);
  if (byTag !== undefined) return knownName(byTag);
  const words = wordsOf(last);
  const name = words.every(isDecoration) && !IMAGES.has(last) ? (parts.at(-2) ?? '') : last;
  return knownName(name);
}

/** What runs, where one repository has several programs and the tag says which. */
function nameInTag(repository: string, tag: string): string | undefined {
  if (/^percona-.*-operator$/.test(repository)) return tag.split('-').at(-1);
  return repository === 'airflow' ? /^airflow-(pgbouncer)-\d/.exec(tag)?.[1] : undefined;
}

/** A server's name with nothing around it but versions and what vendors add: `cnpg-postgresql-16`. */
function knownName(name: string): KnownImage | undefined {
  const exact = IMAGES.get(name);
  if (exact !== undefined) return exact;
  const words = wordsOf(name);
  const found: KnownImage[] = [];
  for (let at = 0; at < words.length;) {
    const length = longestMatch(words, at);
    const known = IMAGES.get(nameAt(words, at, length));
    if (known !== undefined) found.push(known);
    else if (!isDecoration(words[at] ?? '')) return undefined;
    at += Math.max(length, 1);
  }
  return found[0];
}

function wordsOf(name: string): readonly string[] {
  return name.split(/[-_.]/).filter((word) => word !== '');
}

/** How many words from here on make up a known name. Words that only decorate make up none. */
function longestMatch(words: readonly string[], at: number): number {
  for (let length = Math.min(3, words.length - at); length > 0; length -= 1) {
    const decorates = words.slice(at, at + length).every(isDecoration);
    if (!decorates && IMAGES.has(nameAt(words, at, length))) return length;
  }
  return 0;
}

/** The words as one name. A version may follow the last word directly: `postgresql16`. */
function nameAt(words: readonly string[], at: number, length: number): string {
  const name = words.slice(at, at + length).join('-');
  return IMAGES.has(name) ? name : name.replace(/\d+$/, '');
}

function isDecoration(word: string): boolean {
  return DECORATIONS.has(word) || /^(?:v|pg|c|el|rhel|ubi|debian|centos)?\d\w*$/.test(word);
}

/** Client programs that make copies. A container of a database's image that runs only these is no server. */
const CLIENTS =
  /\b(?:pg_dump(?:all)?|pg_basebackup|pg_receivewal|mongodump|mysqldump|mariadb-dump|mariabackup|xtrabackup|etcdctl)\b/;
const SERVERS =
  /docker-entrypoint|entrypoint\.sh|run\.sh|\b(?:postgres|mongod|mongos|mysqld|mariadbd)(?=\s|$)|redis-server|valkey-server|\betcd(?=\s|$)/;
/** A container that waits, so that people can exec into it. */
const IDLE = /^(?:.*\s)?(?:sleep\s+(?:infinity|inf|\d+[dhm]?)|tail\s+-f\s+\/dev\/null)\s*;?$/s;
/** Kafka's image runs more than brokers. */
const NO_BROKER =
  /connect|mirror|exporter|cruise|schema-registry|kafka-rest|console-(?:consumer|producer)/;

/** What a container runs, by its image and its command; `undefined`: no server that is known. */
export function knownContainer(container: Container): KnownImage | undefined {
  const known = knownImage(container.image ?? '');
  if (known === undefined) return undefined;
  const words = [...(container.command ?? []), ...(container.args ?? [])].join(' ');
  if (IDLE.test(words) || (CLIENTS.test(words) && !SERVERS.test(words))) return undefined;
  const byCommand = BY_COMMAND[known.engine];
  return byCommand === undefined ? known : byCommand(known, words, container);
}

type ByCommand = (known: KnownImage, words: string, container: Container) => KnownImage | undefined;

/** Images whose command decides what runs. */
const BY_COMMAND: Readonly<Record<string, ByCommand>> = {
  kafka: (known, words) => (NO_BROKER.test(words) ? undefined : known),
  redis: (known, words) =>
    /(?:redis|valkey)-sentinel\b|(?:^|\s)--sentinel(?:\s|$)|start-sentinel/.test(words)
      ? { stage: 'databases', engine: 'redis-sentinel' }
      : known,
  mongodb: (known, words) =>
    /\bmongos\b/.test(words) ? { stage: 'pooler', engine: 'mongos' } : known,
  pulsar: (known, words) => {
    if (/\bzookeeper\b/.test(words)) return { stage: 'infrastructure', engine: 'zookeeper' };
    if (/\bbookie\b/.test(words)) return { stage: 'databases', engine: 'bookkeeper' };
    return /\bautorecovery\b|pulsar-admin|initialize-cluster/.test(words) ? undefined : known;
  },
  haproxy: (known, _, { ports = [] }) => {
    const web = ports.some(({ containerPort }) => WEB_PORTS.has(containerPort));
    const data = ports.some(({ containerPort }) => DATA_PORTS.has(containerPort));
    return web && !data ? undefined : known;
  },
};

const WEB_PORTS = new Set([80, 443, 8080, 8443]);
const DATA_PORTS = new Set([3306, 5000, 5001, 5432, 6379, 6380, 9042, 11_211, 26_379, 27_017]);

/** Containers that serve another one of their pod. */
const HELPERS =
  /exporter|metrics|agent|proxy|sidecar|envoy|istio|linkerd|reload|fluent|filebeat|promtail|vector(?!chord)|logrotate|backup|backrest|git-sync|config-sync|watcher/;

/**
 * The container that decides what a pod is: the one that an annotation names; else a known database with a
 * claim; else the first that does not serve another one. A cache without a claim beside an application does
 * not make a database of it.
 */
export function mainContainer(
  pod: Pod,
  annotations: Readonly<Record<string, string>> = pod.metadata?.annotations ?? {},
): Container | undefined {
  const all = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  const named = [annotations[ANNOTATIONS.container], annotations[DEFAULT_CONTAINER]]
    .map((name) => all.find((one) => one.name === name))
    .find((one) => one !== undefined);
  if (named !== undefined) return named;
  const servers = all.filter((one) => knownContainer(one) !== undefined || !isHelper(one));
  const database = servers.find((one) => {
    const stage = knownContainer(one)?.stage;
    return stage !== undefined && stage !== 'pooler' && hasClaim(pod, one);
  });
  return database ?? servers[0] ?? all[0];
}

function isHelper({ name, image = '' }: Container): boolean {
  return HELPERS.test(`${name} ${image.split('/').at(-1) ?? ''}`);
}

/** Whether the container writes to a claim. A volume that the pod does not define comes from a claim template. */
function hasClaim(pod: Pod, { volumeMounts = [] }: Container): boolean {
  return volumeMounts.some(({ name, readOnly }) => {
    const volume = pod.spec?.volumes?.find((one) => one.name === name);
    return (
      readOnly !== true && (volume === undefined || volume['persistentVolumeClaim'] !== undefined)
    );
  });
}

/** What the pod's main container runs. */
export function knownPod(
  pod: Pod,
  annotations?: Readonly<Record<string, string>>,
): KnownImage | undefined {
  const main = mainContainer(pod, annotations);
  return main && knownContainer(main);
}
