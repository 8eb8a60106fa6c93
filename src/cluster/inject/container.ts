import { entryOf } from '../../engines/names.ts';
import { CONTROL_PORT, METRICS_PORT, SCAN_VARIABLE, TTL_MAX_MS } from '../../defaults.ts';
import type { CopyMethod } from '../../receipt/receipt.ts';
import { type Database, repositoryName } from './find-database.ts';
import { Environment } from './environment.ts';
import { durationText } from './hooks.ts';
import {
  CONTAINER,
  INIT_CONTAINER,
  PORT,
  RESTORE_ANNOTATION,
  RESTORE_LABEL,
} from '../objects/names.ts';
import type { InjectConfig } from './options.ts';
import type { Container, EnvVar, Pod, VolumeMount } from '../objects/pod.ts';
import type { NamespaceRules } from './namespace-rules.ts';
import { patchedInit, patchedSidecar } from './patch.ts';
import { resourcesOf } from './resources.ts';
import type { PodSettings } from './settings.ts';
import { leavesUser, securityContext } from './security-context.ts';
import {
  type DataPlace,
  databaseMounts,
  dataElsewhere,
  findData,
  isMounted,
  OWN_MOUNTS,
} from './volumes.ts';

const MARK = 'QUIESCE_RESTORE_MARK';

/**
 * The mark of the pod, from Velero's label and from the annotation. The kubelet reads them at each start of
 * the container and gives an empty value for one that is absent; it resolves a reference only to a variable
 * earlier in the list.
 */
const RESTORE_ENV: readonly EnvVar[] = [
  fieldOf('VELERO_RESTORE_NAME', `metadata.labels['${RESTORE_LABEL}']`),
  fieldOf('POD_RESTORE_NAME', `metadata.annotations['${RESTORE_ANNOTATION}']`),
  { name: MARK, value: '$(VELERO_RESTORE_NAME),$(POD_RESTORE_NAME)' },
];

function fieldOf(name: string, fieldPath: string): EnvVar {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

/** The containers to add to a pod, before they are merged with existing ones. */
export interface Additions {
  readonly sidecar: Container;
  /** `undefined`: no data was found. */
  readonly prepareRestore: Container | undefined;
  readonly data: DataPlace | undefined;
  /** Where the data is, if that is on no volume. */
  readonly elsewhere: string | undefined;
  readonly mounts: readonly VolumeMount[];
}

export interface AdditionsInput {
  readonly pod: Pod;
  readonly database: Database;
  readonly settings: PodSettings;
  readonly copy: CopyMethod | undefined;
  readonly config: InjectConfig;
  /** What the pod's namespace demands, where that is known. */
  readonly rules: NamespaceRules | undefined;
}

/**
 * Whether a container with the sidecar's name is a sidecar, of any version. An application may have that
 * name as well.
 */
export function isSidecar({ image = '', command = [], args = [], env = [] }: Container): boolean {
  return (
    image === '' ||
    repositoryName(image) === CONTAINER ||
    [...command, ...args].includes('sidecar') ||
    env.some(({ name }) => name.startsWith('QUIESCE_'))
  );
}

export function buildAdditions(input: AdditionsInput): Additions {
  const { pod, database, config, settings, rules } = input;
  const env = new Environment(database.container);
  const mounts = databaseMounts(pod, database);
  const data = findData(pod, database, env, mounts, settings.dataDir);
  const volumeMounts = [...mounts, ...OWN_MOUNTS];
  const policy = config.imagePullPolicy;
  const common = {
    image: { image: config.image, ...(policy === undefined ? {} : { imagePullPolicy: policy }) },
    rest: {
      resources: resourcesOf(pod, database.container, config, rules),
      securityContext: securityContext(pod, database, leavesUser(database, config, rules)),
      terminationMessagePolicy: 'FallbackToLogsOnError',
      volumeMounts,
    },
  };
  for (const { subPathExpr } of mounts) env.need(subPathExpr);
  const forMounts = env.needed;
  const sidecar = patchedSidecar(buildSidecar(input, { env, mounts, data, common }), config.patch);
  const { restoreScan } = input.settings;
  const initEnv = [
    ...(restoreScan === undefined ? [] : [{ name: SCAN_VARIABLE, value: restoreScan }]),
    ...forMounts,
  ];
  const prepareRestore = data && {
    name: INIT_CONTAINER,
    ...common.image,
    args: [
      'prepare-restore',
      '--data',
      data.path,
      '--restore-mark',
      `$(${MARK})`,
      ...(settings.restoreRequiresReceipt ? ['--require-receipt'] : []),
    ],
    env: [...RESTORE_ENV, ...initEnv],
    ...common.rest,
  };
  return {
    sidecar,
    prepareRestore: prepareRestore && patchedInit(prepareRestore, config.patch),
    data,
    elsewhere: dataElsewhere(pod, database, env, mounts, settings.dataDir),
    mounts,
  };
}

interface SharedFields {
  readonly env: Environment;
  readonly mounts: readonly VolumeMount[];
  readonly data: DataPlace | undefined;
  readonly common: { readonly image: object; readonly rest: object };
}

function buildSidecar(
  input: AdditionsInput,
  { env, mounts, data, common }: SharedFields,
): Container {
  const { pod, database, settings, copy, config } = input;
  const { container, profile } = database;
  const connection = { container, env, shared: (path: string) => isMounted(mounts, path) };
  const secret = settings.credentialsSecret;
  const own = secret === undefined ? profile.connection(connection) : profile.address(connection);
  const login = secret === undefined ? [] : secretLogin(secret, entryOf(profile.name).login);
  const [metrics, control] = freePorts(pod);
  const value = (name: string, text: string | undefined): EnvVar[] =>
    text === undefined ? [] : [{ name, value: text }];
  const ttl = settings.ttlMs;
  const check = settings.restoreCheck ?? config.restoreCheck;
  const envFrom =
    secret === undefined ? env.from : [{ secretRef: { name: secret, optional: true } }];
  return {
    name: CONTAINER,
    ...common.image,
    args: ['sidecar'],
    env: [
      { name: 'QUIESCE_ENGINE', value: profile.name },
      ...value('QUIESCE_DATA_DIR', data?.path),
      ...value('QUIESCE_APP', settings.app ?? appOf(pod, container)),
      ...value('QUIESCE_COPY', copy),
      ...value('QUIESCE_TTL', ttl === undefined ? undefined : durationText(ttl)),
      ...value(
        'QUIESCE_TTL_MAX',
        ttl !== undefined && ttl > TTL_MAX_MS ? durationText(ttl) : undefined,
      ),
      ...value('QUIESCE_REPLICA', settings.replica),
      ...value('QUIESCE_LOG_LEVEL', settings.logLevel),
      ...value('QUIESCE_RESTORE_CHECK', check === 'content' ? check : undefined),
      ...RESTORE_ENV,
      ...value('QUIESCE_METRICS_ADDR', metrics === METRICS_PORT ? undefined : `0.0.0.0:${metrics}`),
      ...value('QUIESCE_CONTROL_ADDR', control),
      ...env.needed,
      ...login,
      ...own,
    ],
    ...(envFrom.length > 0 ? { envFrom } : {}),
    ports: [{ name: PORT, containerPort: metrics, protocol: 'TCP' }],
    // Never add a readiness probe: if it failed, the database would leave its Service.
    livenessProbe: {
      httpGet: { path: '/healthz', port: PORT },
      initialDelaySeconds: 5,
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
    ...common.rest,
  };
}

/** References to the Secret, all optional: a missing Secret must not keep the database's pod from starting. */
function secretLogin(
  name: string,
  login: { readonly username: string; readonly password: string },
): readonly EnvVar[] {
  return (['username', 'password'] as const).map((key) => ({
    name: login[key],
    valueFrom: { secretKeyRef: { name, key, optional: true } },
  }));
}

/**
 * The port for metrics, and QUIESCE_CONTROL_ADDR (`undefined`: its default is free). On the node's network
 * every process of the node shares loopback, so only the socket may serve control there.
 */
function freePorts(pod: Pod): readonly [number, string | undefined] {
  const others = (pod.spec?.containers ?? []).filter(({ name }) => name !== CONTAINER);
  const taken = new Set(others.flatMap(({ ports = [] }) => ports.map((one) => one.containerPort)));
  const free = (from: number): number => {
    let port = from;
    while (taken.has(port)) port += 1;
    return port;
  };
  const control = free(CONTROL_PORT);
  const address = control === CONTROL_PORT ? undefined : `127.0.0.1:${control}`;
  return [free(METRICS_PORT), pod.spec?.hostNetwork === true ? 'off' : address];
}

/** The owners' name for the application, used as a label of the metrics. */
function appOf(pod: Pod, container: Container): string {
  const labels = pod.metadata?.labels ?? {};
  const names = [
    'app.kubernetes.io/instance',
    'app',
    'cnpg.io/cluster',
    'cluster-name',
    'app.kubernetes.io/name',
  ];
  return (
    names.map((name) => labels[name]).find((one) => one !== undefined && one !== '') ??
    container.name
  );
}
