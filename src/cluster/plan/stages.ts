import type { Stage } from './document.ts';

/** What an image says of the place of its pod. A pooler follows the databases and precedes what goes through it. */
export type ImageStage = Stage | 'pooler';

export interface KnownImage {
  readonly stage: ImageStage;
  /** What the image is known as: `postgres`, `kafka`. */
  readonly engine: string;
}

const REPOSITORIES: readonly (readonly [pattern: RegExp, stage: ImageStage])[] = [
  [/^(?:etcd|consul|zookeeper|vault|openbao)$/, 'infrastructure'],
  [/^(?:pgbouncer|pgpool|pgcat|odyssey|proxysql|haproxy)$/, 'pooler'],
  [/^(?:postgres|postgresql|mysql|mariadb|mongo|mongodb|redis|valkey)$/, 'databases'],
  [/^(?:kafka|rabbitmq|nats|pulsar|mosquitto|emqx)$/, 'messaging'],
];

/** The stage of an image; `undefined`: it is not known. */
export function stageOfImage(image: string): ImageStage | undefined {
  return knownImage(image)?.stage;
}

/** The same with the name that the image is known under. */
export function knownImage(image: string): KnownImage | undefined {
  const name = (image.split('@')[0] ?? '').split('/').at(-1)?.replace(/:.*$/, '') ?? '';
  const found = REPOSITORIES.find(([pattern]) => pattern.test(name));
  return found && { stage: found[1], engine: name };
}
