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
import { type DataPlace, databaseMounts, findData, persistentVolumes } from '../inject/volumes.ts';
import { annotationsOf, labelsOf } from './catalog.ts';
import type { Subject, View } from './workloads.ts';

/** What is known of one pod, or of the template of many. */
export interface Facts {
  readonly subject: Subject;
  readonly view: View;
  /** The value of the label `quiesce.dev/inject`. */
  readonly optIn: string | undefined;
  /** What the webhook would do with it; `undefined` where it has not opted in or has its sidecar. */
  readonly injection: Injection | undefined;
  /** As it is, or as the webhook would make it. */
  readonly pod: Pod;
  readonly annotations: Readonly<Record<string, string>>;
  readonly settings: PodSettings;
  /** Annotations that cannot be followed. */
  readonly issues: readonly FieldIssue[];
  /** Annotations that are left unread. */
  readonly ignored: readonly FieldIssue[];
  /** Its owner says that nothing shall freeze it. */
  readonly unfrozen: boolean;
  /** One of the containers looks like a database that quiesce knows. */
  readonly resembles: boolean;
  readonly database: Database | undefined;
  /** The plain container that hooks can run in. */
  readonly sidecar: Container | undefined;
  /** The same as an init container, which hooks cannot run in. */
  readonly native: Container | undefined;
  /** Of the sidecar. */
  readonly env: Environment;
  /** The database's, as far as they are data or configuration. */
  readonly mounts: readonly VolumeMount[];
  readonly data: DataPlace | undefined;
  /** Volumes with a life of their own that the database writes to. */
  readonly volumes: readonly string[];
  /** Such volumes of the whole pod. */
  readonly persistent: readonly string[];
  readonly copy: CopyMethod;
}

export function factsOf(subject: Subject, view: View, config: InjectConfig): Facts {
  const given = view.pod;
  const optIn = labelsOf(given)[INJECT_LABEL];
  const injection =
    optIn === 'true' && sidecarOf(given) === undefined ? inject(given, config) : undefined;
  const pod = injection?.outcome === 'injected' ? injection.pod : given;
  const annotations = annotationsOf(pod);
  const { settings, issues, ignored } = readSettings(annotations);
  const sidecar = sidecarOf(pod);
  const env = new Environment(sidecar ?? { name: '' });
  const told = env.plain('QUIESCE_ENGINE');
  const engine = settings.engine ?? (told !== undefined && isEngine(told) ? told : undefined);
  const found = findDatabase(without(pod, sidecar), { ...settings, engine });
  const database = 'field' in found ? undefined : found;
  const mounts = database === undefined ? [] : databaseMounts(pod, database);
  return {
    subject,
    view,
    optIn,
    injection,
    pod,
    annotations,
    settings,
    issues,
    ignored,
    unfrozen: isUnfrozen(subject, annotations),
    resembles: resemblesDatabase(without(pod, sidecar)),
    database,
    sidecar,
    native: nativeOf(pod),
    env,
    mounts,
    data: database && findData(pod, database, new Environment(database.container), mounts),
    volumes: persistentVolumes(pod, mounts),
    persistent: persistentOf(pod, subject),
    copy: copyOf(env, settings),
  };
}

function isUnfrozen({ object }: Subject, annotations: Facts['annotations']): boolean {
  const said = [annotationsOf(object), annotations].map((all) =>
    applicationValue(all, APPLICATION.freeze),
  );
  return (said[0] ?? said[1])?.value === 'none';
}

function sidecarOf(pod: Pod): Container | undefined {
  const containers = pod.spec?.containers ?? [];
  return (
    containers.find((one) => one.name === CONTAINER && isSidecar(one)) ??
    containers.find(isSidecarByImage)
  );
}

/** Under a name of its owner's. */
function isSidecarByImage({ image = '', args = [], command = [] }: Container): boolean {
  return repositoryName(image) === CONTAINER && [...command, ...args].includes('sidecar');
}

function nativeOf(pod: Pod): Container | undefined {
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

function persistentOf(pod: Pod, { claimTemplates }: Subject): readonly string[] {
  const claimed = (pod.spec?.volumes ?? []).filter(
    (volume) => volume['persistentVolumeClaim'] !== undefined || volume['ephemeral'] !== undefined,
  );
  const names = [...claimed, ...claimTemplates.map(({ metadata }) => ({ name: metadata?.name }))];
  return [...new Set(names.flatMap(({ name }) => name ?? []))];
}

function copyOf(env: Environment, settings: PodSettings): CopyMethod {
  const told = env.plain('QUIESCE_COPY');
  return COPY_METHODS.find((method) => method === told) ?? settings.copy ?? COPY;
}
