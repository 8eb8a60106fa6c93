import { repositoryName } from '../inject/find-database.ts';
import { FILE_BACKUP, FILE_BACKUP_EXCLUDES } from '../objects/names.ts';
import type { Container } from '../objects/pod.ts';
import type { PodFacts } from './pod-facts.ts';
import { normalizePod } from '../objects/normalize.ts';
import {
  at,
  type Catalog,
  type KubeObject,
  labelsOf,
  listAt,
  refText,
  refOf,
  textAt,
  textsAt,
} from './catalog.ts';
import { listed, selects } from './selectors.ts';

/** A Deployment that runs a Velero server. */
export interface VeleroServer {
  readonly deployment: KubeObject;
  /** Major and minor; `undefined` if neither the image's tag nor a label shows them. */
  readonly version: readonly [number, number] | undefined;
  readonly args: readonly string[];
}

/** Velero's objects in a cluster. */
export interface Velero {
  /** Usually one. */
  readonly servers: readonly VeleroServer[];
  /** An object that will install Velero is present, such as a HelmRelease. */
  readonly willBeInstalled: boolean;
  readonly schedules: readonly KubeObject[];
  /** Backups that have not started yet. */
  readonly backups: readonly KubeObject[];
}

const SERVER = /^(?:oadp-)?velero(?:-rhel\d+)?$/;
const INSTALLERS = ['HelmRelease', 'Application', 'HelmChart', 'DataProtectionApplication'];

export function veleroOf(catalog: Catalog): Velero {
  const servers = catalog.all('Deployment.apps').flatMap((deployment): VeleroServer[] => {
    const container = serverOf(deployment);
    if (container === undefined) return [];
    const { image, command = [], args = [] } = container;
    return [{ deployment, version: versionOf(deployment, image), args: [...command, ...args] }];
  });
  const willBeInstalled = catalog.kinds.some(
    (kind) =>
      INSTALLERS.includes(kind.split('.')[0] ?? '') &&
      catalog.all(kind).some((one) => JSON.stringify(one).includes('velero')),
  );
  const backups = catalog
    .all('Backup.velero.io')
    .filter((one) => ['New', undefined].includes(textAt(one, 'status', 'phase')));
  return { servers, willBeInstalled, schedules: catalog.all('Schedule.velero.io'), backups };
}

function serverOf(deployment: KubeObject): Container | undefined {
  const { spec } = normalizePod(at(deployment, 'spec', 'template'));
  return spec?.containers?.find(
    ({ name, image = '', args = [] }) =>
      SERVER.test(repositoryName(image)) || (name === 'velero' && args.includes('server')),
  );
}

function versionOf(
  deployment: KubeObject,
  image: string | undefined,
): readonly [number, number] | undefined {
  const tag = /:([^/@]+)(?:@|$)/.exec(image ?? '')?.[1];
  for (const text of [tag, labelsOf(deployment)['app.kubernetes.io/version']]) {
    const match = /^v?(\d+)\.(\d+)/.exec(text ?? '');
    if (match) return [Number(match[1]), Number(match[2])];
  }
  return undefined;
}

/** What decides whether and how Velero backs a pod up. */
type BackedUp = Pick<PodFacts, 'annotations' | 'pod'> & {
  readonly workload: { readonly namespace: string };
};

/** The active Schedules that include this pod. */
export function schedulesFor({ schedules }: Velero, facts: BackedUp): readonly KubeObject[] {
  return schedules.filter(
    (schedule) =>
      at(schedule, 'spec', 'paused') !== true &&
      includesPod(at(schedule, 'spec', 'template'), facts),
  );
}

/** Whether a backup with this spec includes the pod. */
export function includesPod(spec: unknown, { workload, pod }: BackedUp): boolean {
  const selectors = listAt(spec, 'orLabelSelectors');
  const chosen = selectors.length > 0 ? selectors : [at(spec, 'labelSelector')];
  return (
    includesNamespace(spec, workload.namespace) &&
    includesPods(spec, 'Resources') &&
    includesPods(spec, 'NamespaceScopedResources') &&
    chosen.some((one) => selects(one, labelsOf(pod)))
  );
}

/** Whether Velero's filter includes the namespace. An empty include list means all; an exclude wins. */
export function includesNamespace(filter: unknown, namespace: string): boolean {
  const included = textsAt(filter, 'includedNamespaces');
  const wanted = included.length === 0 || listed(included, namespace);
  return wanted && !listed(textsAt(filter, 'excludedNamespaces'), namespace);
}

/** The same for pods among the kinds. Velero accepts every name of the kind that kubectl accepts. */
export function includesPods(
  filter: unknown,
  what: 'Resources' | 'NamespaceScopedResources',
): boolean {
  const isPods = (one: string): boolean =>
    /^(?:pods?|po)$/i.test(one) || listed([one.toLowerCase()], 'pods');
  const included = textsAt(filter, `included${what}`);
  const wanted = included.length === 0 || included.some(isPods);
  return wanted && !textsAt(filter, `excluded${what}`).some(isPods);
}

/** The setting that makes Velero copy the volume file by file; `undefined`: there is none. */
export function fileBackupOf(velero: Velero, facts: BackedUp, volume: string): string | undefined {
  if (names(facts.annotations[FILE_BACKUP]).includes(volume)) return FILE_BACKUP;
  if (names(facts.annotations[FILE_BACKUP_EXCLUDES]).includes(volume)) return undefined;
  const covering = schedulesFor(velero, facts);
  const own = covering.map((schedule) => ({ schedule, files: filesByDefault(schedule) }));
  const yes = own.find(({ files }) => files === true);
  if (yes !== undefined) return `${refText(refOf(yes.schedule))} (defaultVolumesToFsBackup)`;
  const flags = velero.servers.flatMap(({ args }) => args);
  const flag = flags.find((one) =>
    /^--default-volumes-to-(?:fs-backup|restic)(?:=true)?$/.test(one),
  );
  const refused = own.length > 0 && own.every(({ files }) => files === false);
  return flag === undefined || refused ? undefined : `Velero's ${flag}`;
}

function filesByDefault(schedule: KubeObject): unknown {
  const template = at(schedule, 'spec', 'template');
  return at(template, 'defaultVolumesToFsBackup') ?? at(template, 'defaultVolumesToRestic');
}

/** The volumes in an annotation's comma-separated list. */
export function names(list: string | undefined): readonly string[] {
  return (list ?? '').split(',').map((one) => one.trim());
}
