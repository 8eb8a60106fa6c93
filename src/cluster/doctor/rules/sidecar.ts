import { posix } from 'node:path';
import { RUN_DIR, STATE_DIR } from '../../../defaults.ts';
import { baseSchema, checkTogether } from '../../../config/schema.ts';
import { isImageOf } from '../../inject/find-database.ts';
import { ENGINE_NAMES } from '../../../engines/names.ts';
import type { EnvVar, VolumeMount } from '../../objects/pod.ts';
import { leavesUser, securityContext } from '../../inject/security-context.ts';
import { cleanPath } from '../../objects/clean-path.ts';
import { isInside } from '../../../lib/paths.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import type { PodRule } from '../rule.ts';

const OURS = 'QUIESCE_';
/** The suffix of a variable that points to a file. The doctor cannot read the file in the container. */
const INDIRECT = /_FILE$/;

/** Problems of the sidecar's settings that the pod has in plain text. */
function configIssues({ sidecar, env }: PodFacts): readonly string[] {
  const given = (sidecar?.env ?? []).filter(({ name }) => name.startsWith(OURS));
  const { shape } = baseSchema(ENGINE_NAMES);
  const values: Record<string, unknown> = {};
  const issues = given.flatMap(({ name }: EnvVar): string[] => {
    const base = name.replace(INDIRECT, '');
    const type = Object.hasOwn(shape, base) ? shape[base as keyof typeof shape] : undefined;
    if (type === undefined) return [`${name} is not a setting of the sidecar`];
    const text = env.plain(name);
    if (text === undefined || base !== name) return [];
    const parsed = type.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    return parsed.success ? [] : [`${name} ${parsed.error.issues[0]?.message ?? 'is not valid'}`];
  });
  const hasEngine = given.some(({ name }) => name.replace(INDIRECT, '') === 'QUIESCE_ENGINE');
  const file = (sidecar?.args ?? []).some((word) => word.startsWith('--config'));
  if (!hasEngine && !env.hasUnknown && !file) {
    issues.push(`QUIESCE_ENGINE is required: one of ${ENGINE_NAMES.join(', ')}`);
  }
  const most = values['QUIESCE_TTL_MAX'] ?? shape.QUIESCE_TTL_MAX.parse(undefined);
  const together = checkTogether({ ...values, QUIESCE_TTL_MAX: most });
  return [...issues, ...together.map(({ name, message }) => `${name} ${message}`)];
}

/** The sidecar's mounts of the data volume. */
function dataMounts({ sidecar, data }: PodFacts): readonly VolumeMount[] {
  return (sidecar?.volumeMounts ?? []).filter(({ name }) => name === data?.volume);
}

/** The database's own mount path of the data volume. */
function databasePath({ mounts, data }: PodFacts): string | undefined {
  const found = mounts
    .filter(
      ({ name, mountPath }) => name === data?.volume && isInside(data.path, cleanPath(mountPath)),
    )
    .map(({ mountPath }) => cleanPath(mountPath));
  return found.toSorted((a, b) => b.length - a.length)[0];
}

function mountPaths({ sidecar }: PodFacts): readonly string[] {
  return (sidecar?.volumeMounts ?? []).map(({ mountPath }) => cleanPath(mountPath));
}

export const sidecarRules: readonly PodRule[] = [
  {
    code: 'SIDECAR_CONFIG_INVALID',
    severity: 'error',
    title: 'The sidecar refuses its configuration',
    why: 'It does not start (exit code 2, CONFIG_INVALID), and no hook can run.',
    fix: 'Correct the variable in the container quiesce, or the annotation that it comes from.',
    *check(facts) {
      if (facts.sidecar === undefined) return;
      for (const issue of configIssues(facts)) yield `${issue}.`;
    },
  },
  {
    code: 'ENGINE_MISMATCH',
    severity: 'error',
    title: 'The sidecar is configured for another engine than the container runs',
    why: 'It speaks the wrong protocol: every freeze fails.',
    fix: 'Set quiesce.dev/engine, or QUIESCE_ENGINE, to the engine that runs. Without the annotation, the webhook recognizes the engine.',
    *check({ sidecar, database, env, settings }) {
      const configured = env.plain('QUIESCE_ENGINE') ?? settings.engine;
      const image = database?.container.image;
      if (sidecar === undefined || database === undefined || configured === undefined) return;
      const actual = ENGINE_NAMES.find((engine) => isImageOf(database.container, engine));
      if (actual === undefined || actual === configured) return;
      yield `The sidecar is configured for ${configured}, but ${database.container.name} runs ${image}.`;
    },
  },
  {
    code: 'UID_MISMATCH',
    severity: 'error',
    title: 'The sidecar runs as another user than the database',
    why: 'It can neither read the data nor write its receipt next to them: a freeze proves less or is refused, and a restore is not prepared.',
    fix: 'Set securityContext.runAsUser of the container quiesce to the user of the database, or remove it and let the webhook set it.',
    *check({ sidecar, database, pod, data, rules }, { config }) {
      if (sidecar === undefined || database === undefined || data === undefined) return;
      const platform = leavesUser(database, config, rules);
      const expected = securityContext(pod, database, platform).runAsUser;
      const found = sidecar.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser;
      if (expected === undefined || found === expected) return;
      const as = found === undefined ? 'the user of its image' : `user ${found}`;
      yield `The sidecar runs as ${as}, but ${database.container.name} as user ${expected}.`;
    },
  },
  {
    code: 'USER_UNKNOWN',
    severity: 'warning',
    title: 'The user of the database is unknown',
    why: 'The sidecar may not be able to read the data.',
    fix: 'Set securityContext.runAsUser in the container of the database, or in the pod.',
    *check({ sidecar, database, pod, data, rules }, { config }) {
      if (sidecar === undefined || database === undefined || data === undefined) return;
      if (leavesUser(database, config, rules)) return;
      const expected = securityContext(pod, database).runAsUser;
      const found = sidecar.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser;
      if (expected === undefined && found === undefined) {
        yield `Neither the pod nor the image ${database.container.image} shows which user the database runs as.`;
      }
    },
  },
  {
    code: 'DATA_NOT_FOUND',
    severity: 'warning',
    title: 'The data volume was not found',
    why: 'No receipt is written next to the data: a copy has no proof, and a restore is not prepared.',
    fix: 'Mount the data where the image keeps it, or set its path with the variable or flag of the database (PGDATA, --dir, --dbpath).',
    *check({ sidecar, database, data, elsewhere }) {
      if (sidecar === undefined || database === undefined || data !== undefined) return;
      if (elsewhere !== undefined) return;
      yield `No mount of ${database.container.name} contains the data of ${database.profile.name}.`;
    },
  },
  {
    code: 'DATA_NOT_MOUNTED',
    severity: 'error',
    title: 'The sidecar does not mount the data volume',
    why: 'It cannot see the files that it must prove, and its receipt is not part of the copy.',
    fix: 'Mount the data volume of the database in the container quiesce, writable and at the same path.',
    *check(facts) {
      const { sidecar, data } = facts;
      if (sidecar === undefined || data === undefined || dataMounts(facts).length > 0) return;
      yield `The data volume ${data.volume} is not mounted in the container ${sidecar.name}.`;
    },
  },
  {
    code: 'DATA_READ_ONLY',
    severity: 'error',
    title: 'The sidecar mounts the data volume read-only',
    why: 'It cannot write its receipt and the files that a restore needs: a copy has no proof.',
    fix: 'Remove readOnly from the mount in the container quiesce.',
    *check(facts) {
      const mounts = dataMounts(facts);
      if (mounts.length > 0 && mounts.every(({ readOnly }) => readOnly === true)) {
        yield `The volume ${facts.data?.volume} is mounted read-only in the container ${facts.sidecar?.name}.`;
      }
    },
  },
  {
    code: 'DATA_PATH_DIFFERS',
    severity: 'error',
    title: 'The sidecar mounts the data at another path than the database',
    why: 'The paths that the server reports do not exist in the sidecar.',
    fix: 'Mount the volume in the container quiesce at the same path, and with the same subPath, as in the container of the database.',
    *check(facts) {
      const mounts = dataMounts(facts);
      const path = databasePath(facts);
      if (mounts.length === 0 || path === undefined) return;
      const own = facts.mounts.find(({ mountPath }) => cleanPath(mountPath) === path);
      const same = mounts.find(({ mountPath }) => cleanPath(mountPath) === path);
      if (same === undefined) {
        yield `The volume ${facts.data?.volume} is at ${mounts[0]?.mountPath} in the sidecar, but at ${path} in ${facts.database?.container.name}.`;
      } else if ((same.subPath ?? '') !== (own?.subPath ?? '')) {
        yield `The volume ${facts.data?.volume} is mounted with the subPath ${same.subPath ?? '""'} in the sidecar, but with ${own?.subPath ?? '""'} in ${facts.database?.container.name}.`;
      }
    },
  },
  {
    code: 'DATA_DIR_UNSET',
    severity: 'warning',
    title: 'QUIESCE_DATA_DIR is not set',
    why: 'Nothing is written to the volume, and a restored copy cannot be recognized.',
    fix: 'Set QUIESCE_DATA_DIR to the mount path of the data.',
    *check({ sidecar, env, data }) {
      if (sidecar === undefined || data === undefined || env.hasUnknown) return;
      const file = (sidecar.args ?? []).some((word) => word.startsWith('--config'));
      if (!env.has('QUIESCE_DATA_DIR') && !env.has('QUIESCE_DATA_DIR_FILE') && !file) {
        yield `The sidecar has no QUIESCE_DATA_DIR; the data is at ${data.path}.`;
      }
    },
  },
  {
    code: 'DATA_DIR_WRONG',
    severity: 'error',
    title: 'QUIESCE_DATA_DIR is not the path of the data',
    why: 'The receipt is written in another place, or not at all: a copy has no proof.',
    fix: 'Set QUIESCE_DATA_DIR to the mount path of the data.',
    *check(facts) {
      const dir = facts.env.plain('QUIESCE_DATA_DIR');
      const mounts = dataMounts(facts).map(({ mountPath }) => cleanPath(mountPath));
      if (dir === undefined || !posix.isAbsolute(dir) || mounts.length === 0) return;
      if (mounts.some((mount) => isInside(cleanPath(dir), mount))) return;
      yield `QUIESCE_DATA_DIR is ${dir}, but the volume ${facts.data?.volume} is at ${mounts.join(', ')} in the sidecar.`;
    },
  },
  {
    code: 'STATE_NOT_MOUNTED',
    severity: 'error',
    title: 'The sidecar has no volume for its journal or its socket',
    why: 'Without a volume for the journal, freezes are refused (JOURNAL_FAILED), or do not survive a restart of the container. Without one for the socket, no hook reaches the sidecar.',
    fix: `Mount an emptyDir at ${STATE_DIR} (QUIESCE_STATE_DIR) and one at ${RUN_DIR} (the folder of QUIESCE_SOCKET).`,
    *check(facts) {
      const { sidecar, env } = facts;
      if (sidecar === undefined) return;
      const state = env.plain('QUIESCE_STATE_DIR') ?? STATE_DIR;
      const socket = env.plain('QUIESCE_SOCKET');
      const run = socket === undefined ? RUN_DIR : posix.dirname(socket);
      const paths = mountPaths(facts);
      for (const folder of [state, run].map(cleanPath)) {
        if (!paths.some((path) => isInside(folder, path))) {
          yield `No volume of the container ${sidecar.name} is mounted at ${folder}.`;
        }
      }
    },
  },
  {
    code: 'READINESS_PROBE',
    severity: 'warning',
    title: 'The sidecar has a readiness probe',
    why: 'A pod is ready only if all its containers are: a failing sidecar would remove the database from its Service.',
    fix: 'Remove readinessProbe from the container quiesce; a liveness probe on /healthz is enough.',
    *check({ sidecar }) {
      if (sidecar !== undefined && 'readinessProbe' in sidecar) {
        yield `The container ${sidecar.name} has a readinessProbe.`;
      }
    },
  },
];
