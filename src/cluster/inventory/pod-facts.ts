import { COPY } from '../../defaults.ts';
import type { CopyMethod } from '../../receipt/receipt.ts';
import { COPY_METHODS } from '../../receipt/receipt.ts';
import {
  type Database,
  findDatabase,
  repositoryName,
  resemblesDatabase,
} from '../inject/find-database.ts';
import { isSidecar } from '../inject/container.ts';
import { isEngine } from '../../engines/names.ts';
import { Environment } from '../inject/environment.ts';
import { inject, type Injection } from '../inject/inject.ts';
import { applicationValue } from '../inject/application.ts';
import { APPLICATION, CONTAINER, INIT_CONTAINER, INJECT_LABEL } from '../objects/names.ts';
import type { InjectConfig } from '../inject/options.ts';
import type { Container, Pod, VolumeMount } from '../objects/pod.ts';
import { type PodSettings, readSettings } from '../inject/settings.ts';
import type { FieldIssue } from '../objects/names.ts';
import {
  type DataPlace,
  databaseMounts,
  dataElsewhere,
  findData,
  persistentVolumes,
} from '../inject/volumes.ts';
import type { NamespaceRules } from '../inject/namespace-rules.ts';
import { annotationsOf, labelsOf } from '../objects/kube-object.ts';
import type { Workload, View } from './workloads.ts';

/** Facts about one pod, or about the template of many. */
export interface PodFacts {
  readonly workload: Workload;
  readonly view: View;
  /** The value of the label `quiesce.dev/inject`. */
  readonly optIn: string | undefined;
  /** The webhook's result for this pod; `undefined` if the pod has not opted in or already has a sidecar. */
  readonly injection: Injection | undefined;
  /** The pod as it is, or with the sidecar that the webhook would add. */
  readonly pod: Pod;
  readonly annotations: Readonly<Record<string, string>>;
  readonly settings: PodSettings;
  /** Annotations for the sidecar whose values are invalid. */
  readonly issues: readonly FieldIssue[];
  /** Annotations that are ignored. */
  readonly ignored: readonly FieldIssue[];
  /** Its owner has excluded it: quiesce.dev/freeze is none. */
  readonly unfrozen: boolean;
  /** A container looks like a database that quiesce knows. */
  readonly resembles: boolean;
  readonly database: Database | undefined;
  /** The sidecar as a plain container, in which hooks can run. */
  readonly sidecar: Container | undefined;
  /** The sidecar as an init container, in which hooks cannot run. */
  readonly native: Container | undefined;
  /** The environment of the sidecar. */
  readonly env: Environment;
  /** The database's mounts of data and configuration. */
  readonly mounts: readonly VolumeMount[];
  readonly data: DataPlace | undefined;
  /** Where the data is, if that is on no volume. */
  readonly elsewhere: string | undefined;
  /** What shows that the server keeps nothing on disk. */
  readonly saving: string | undefined;
  /** What its namespace demands. */
  readonly rules: NamespaceRules;
  /** Persistent volumes that the database writes to. */
  readonly volumes: readonly string[];
  /** Persistent volumes of the whole pod. */
  readonly persistent: readonly string[];
  readonly copy: CopyMethod;
}

export function factsOf(
  workload: Workload,
  view: View,
  config: InjectConfig,
  rules: NamespaceRules,
): PodFacts {
  const given = view.pod;
  const optIn = labelsOf(given)[INJECT_LABEL];
  const injection =
    optIn === 'true' && sidecarOf(given) === undefined ? inject(given, config, rules) : undefined;
  const pod = injection?.outcome === 'injected' ? injection.pod : given;
  const annotations = annotationsOf(pod);
  const { settings, issues, ignored } = readSettings(annotations);
  const sidecar = sidecarOf(pod);
  const env = new Environment(sidecar ?? { name: '' });
  const configured = env.plain('QUIESCE_ENGINE');
  const engine =
    settings.engine ?? (configured !== undefined && isEngine(configured) ? configured : undefined);
  const found = findDatabase(without(pod, sidecar), { ...settings, engine });
  const database = 'field' in found ? undefined : found;
  const mounts = database === undefined ? [] : databaseMounts(pod, database);
  const own = database && new Environment(database.container);
  const data = database && own && findData(pod, database, own, mounts, settings.dataDir);
  return {
    workload,
    view,
    optIn,
    injection,
    pod,
    annotations,
    settings,
    issues,
    ignored,
    unfrozen: isUnfrozen(workload, annotations),
    resembles: resemblesDatabase(without(pod, sidecar)),
    database,
    sidecar,
    native: nativeOf(pod),
    env,
    mounts,
    data,
    elsewhere: database && own && dataElsewhere(pod, database, own, mounts, settings.dataDir),
    saving: own && database?.profile.savesNothing?.(database.container, own),
    rules,
    volumes: persistentVolumes(pod, mounts, data),
    persistent: persistentOf(pod, workload),
    copy: copyOf(env, settings),
  };
}

function isUnfrozen({ object }: Workload, annotations: PodFacts['annotations']): boolean {
  const values = [annotationsOf(object), annotations].map((all) =>
    applicationValue(all, APPLICATION.freeze),
  );
  return (values[0] ?? values[1])?.value === 'none';
}

export function sidecarOf(pod: Pod): Container | undefined {
  const containers = pod.spec?.containers ?? [];
  return (
    containers.find((one) => one.name === CONTAINER && isSidecar(one)) ??
    containers.find(isSidecarByImage)
  );
}

/** Whether a container runs the sidecar's image, under any name. */
function isSidecarByImage({ image = '', args = [], command = [] }: Container): boolean {
  return repositoryName(image) === CONTAINER && [...command, ...args].includes('sidecar');
}

export function nativeOf(pod: Pod): Container | undefined {
  return pod.spec?.initContainers?.find(
    (one) =>
      one.name !== INIT_CONTAINER &&
      (one.name === CONTAINER || (one.restartPolicy === 'Always' && isSidecarByImage(one))),
  );
}

function without(pod: Pod, sidecar: Container | undefined): Pod {
  const containers = (pod.spec?.containers ?? []).filter((one) => one !== sidecar);
  return { ...pod, spec: { ...pod.spec, containers } };
}

function persistentOf(pod: Pod, { claimTemplates }: Workload): readonly string[] {
  const claimed = (pod.spec?.volumes ?? []).filter(
    (volume) => volume['persistentVolumeClaim'] !== undefined || volume['ephemeral'] !== undefined,
  );
  const names = [...claimed, ...claimTemplates.map(({ metadata }) => ({ name: metadata?.name }))];
  return [...new Set(names.flatMap(({ name }) => name ?? []))];
}

function copyOf(env: Environment, settings: PodSettings): CopyMethod {
  const configured = env.plain('QUIESCE_COPY');
  return COPY_METHODS.find((method) => method === configured) ?? settings.copy ?? COPY;
}
