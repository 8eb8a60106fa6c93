import type { Catalog } from '../../inventory/catalog.ts';
import { listAt, textAt } from '../../objects/kube-object.ts';
import type { Container, Pod } from '../../objects/pod.ts';
import { valueOf } from './environment.ts';
import { initContainers } from './mounts.ts';

/** What is said of Redis's two ways to persist, each where it is said. */
interface Said {
  readonly aof?: boolean;
  readonly rdb?: boolean;
}

/** Whether Redis, or a server that is configured alike, persists; `unknown`: its configuration is not there. */
export function redisPersistence(
  container: Container,
  pod: Pod,
  namespace: string,
  catalog: Catalog,
): 'on' | 'off' | 'unknown' {
  const env = (name: string) => valueOf(container, name, namespace, catalog) ?? '';
  const flags = ['REDIS_ARGS', 'REDIS_EXTRA_FLAGS', 'VALKEY_EXTRA_FLAGS', 'VALKEY_ARGS'].map(env);
  const words = [...(container.command ?? []), ...(container.args ?? []), ...flags];
  const files = configurations(container, pod, namespace, catalog);
  // Later words of the same list count, and arguments outweigh files.
  const said = [saidByArguments(words), saidByImage(env), ...files.texts.map(saidByFile)];
  const aof = said.find((one) => one.aof !== undefined)?.aof;
  const rdb = said.find((one) => one.rdb !== undefined)?.rdb;
  if (aof === true || rdb === true) return 'on';
  const isBitnami = /bitnami/.test(container.image ?? '');
  if (rdb === false && (aof === false || !isBitnami)) {
    return files.hidden && aof === undefined ? 'unknown' : 'off';
  }
  return files.hidden ? 'unknown' : 'on';
}

/** A word may be empty: `--save ""` has an empty one, and a shell's text has the quotes. */
function saidByArguments(words: readonly string[]): Said {
  const text = words.map((word) => (word === '' ? '""' : word)).join(' ');
  const aof = [...text.matchAll(/--appendonly(?:=|\s+)["'\\]*(yes|no)/g)].at(-1)?.[1];
  const saves = [...text.matchAll(/--save(?:=|\s+)(["'\\]*)\s*(\d*)/g)];
  return {
    ...(aof !== undefined && { aof: aof === 'yes' }),
    ...(saves.length > 0 && { rdb: saves.some(([, , seconds]) => seconds !== '') }),
  };
}

/** Bitnami's images turn on the append-only file unless they are told otherwise. */
function saidByImage(env: (name: string) => string): Said {
  const of = (name: string) => env(`REDIS_${name}`) || env(`VALKEY_${name}`);
  const aof = of('AOF_ENABLED');
  const policy = of('RDB_POLICY');
  const disabled = of('RDB_POLICY_DISABLED');
  return {
    ...(aof !== '' && { aof: /^(?:yes|true|1)$/i.test(aof) }),
    ...(/^(?:yes|true|1)$/i.test(disabled) ? { rdb: false } : policy !== '' && { rdb: true }),
  };
}

function saidByFile(text: string): Said {
  const lines = text.split('\n').map((line) => line.trim());
  const values = (name: string) =>
    lines.flatMap((line) => new RegExp(`^${name}\\s+(.*)$`, 'i').exec(line)?.[1]?.trim() ?? []);
  const aof = values('appendonly').at(-1);
  const save = values('save').at(-1);
  return {
    ...(aof !== undefined && { aof: /^["']?yes/i.test(aof) }),
    ...(save !== undefined && { rdb: /\d/.test(save) }),
  };
}

interface Configurations {
  readonly texts: readonly string[];
  /** The server is given a file that is in no ConfigMap of the inventory. */
  readonly hidden: boolean;
}

/**
 * The configuration files that the container mounts from ConfigMaps, or that an init container may copy to where
 * it reads them. The one that its command names goes first.
 */
function configurations(
  container: Container,
  pod: Pod,
  namespace: string,
  catalog: Catalog,
): Configurations {
  const command = [...(container.command ?? []), ...(container.args ?? [])].join(' ');
  const named = /(?:^|[\s"'=])(\/\S+\.conf)\b/.exec(command)?.[1];
  const mounts = [container, ...initContainers(pod)].flatMap((one) => one.volumeMounts ?? []);
  const found = mounts.flatMap((mount) => {
    const volume = pod.spec?.volumes?.find(({ name }) => name === mount.name);
    return configMapsOf(volume).flatMap((name) => {
      const data = catalog.get('ConfigMap', namespace, name)?.['data'] ?? {};
      return Object.entries(data as Record<string, unknown>).map(([key, text]) => ({
        key,
        text: typeof text === 'string' ? text : '',
      }));
    });
  });
  const files = found
    .filter(({ key }) => /\.conf$|^(?:redis|valkey|keydb)[-.]?(?:conf|config)$/.test(key))
    .filter(({ key }) => !/sentinel|haproxy|replica|slave/.test(key))
    .toSorted((a, b) => Number(isNamed(b.key)) - Number(isNamed(a.key)));
  return {
    texts: files.map(({ text }) => text),
    hidden: named !== undefined && files.length === 0,
  };

  function isNamed(key: string): boolean {
    return named?.endsWith(`/${key}`) === true;
  }
}

function configMapsOf(volume: Readonly<Record<string, unknown>> | undefined): readonly string[] {
  const sources = [volume, ...listAt(volume, 'projected', 'sources')];
  return sources.flatMap((one) => textAt(one, 'configMap', 'name') ?? []);
}
