import type { Edit } from './manifest.ts';

/** Hooks as people paste them: the command before the copy and the one after it. */
export interface PastedHooks {
  readonly container: string;
  readonly pre: readonly string[];
  readonly post?: readonly string[];
}

const KEYS = ['container', 'command', 'timeout', 'on-error'] as const;

/** Velero's annotations for a pod with these hooks, or without any: `null` stands for one that must go. */
export function hookAnnotations(
  hooks: PastedHooks | null,
): Readonly<Record<string, string | null>> {
  const annotations: Record<string, string | null> = {};
  for (const phase of ['pre', 'post'] as const) {
    const command = hooks?.[phase];
    const values = { container: hooks?.container, command: command && JSON.stringify(command) };
    for (const key of KEYS) {
      const value = command && key in values ? values[key as keyof typeof values] : undefined;
      annotations[`${phase}.hook.backup.velero.io/${key}`] = value ?? null;
    }
  }
  return annotations;
}

/** The privileged container that fsfreeze needs, as in the example of Velero's documentation. */
export const withFsfreeze: Edit = (manifest) => {
  const { containers } = manifest.template.spec;
  const { image, volumeMounts } = manifest.database;
  const command = ['sleep', 'infinity'];
  containers.push({
    name: 'fsfreeze',
    image,
    command,
    securityContext: { privileged: true },
    volumeMounts: volumeMounts.filter(({ name }) => name === 'data'),
  });
};

const psql = (sql: string): string[] => ['psql', '-U', 'postgres', '-c', sql];
const shell = (line: string): string[] => ['/bin/sh', '-c', line];
const redisCli = (command: string): string[] => shell(`redis-cli -a "$REDIS_PASSWORD" ${command}`);

/** What `mongosh --eval` sends; the image has pymongo instead of mongosh. */
const mongoEval = (command: string): string[] => [
  'python3',
  '-c',
  `from pymongo import MongoClient; MongoClient("mongodb://root:change-root@127.0.0.1/?directConnection=true").admin.command(${command})`,
];

const data = '/var/lib/postgresql/data';

export const PASTED = {
  startAndStop: {
    container: 'postgres',
    pre: psql("SELECT pg_backup_start('velero', true)"),
    post: psql('SELECT pg_backup_stop()'),
  },
  checkpoint: { container: 'postgres', pre: psql('CHECKPOINT') },
  fsfreeze: {
    container: 'fsfreeze',
    pre: ['/sbin/fsfreeze', '--freeze', data],
    post: ['/sbin/fsfreeze', '--unfreeze', data],
  },
  bgsave: { container: 'redis', pre: redisCli('BGSAVE') },
  save: { container: 'redis', pre: redisCli('SAVE') },
  fsyncLock: {
    container: 'mongo',
    pre: mongoEval('"fsync", lock=True'),
    post: mongoEval('"fsyncUnlock"'),
  },
} as const satisfies Record<string, PastedHooks>;
