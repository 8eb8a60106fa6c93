import { repositoryName } from '../inject/find-database.ts';
import { FILE_BACKUP, FILE_BACKUP_EXCLUDES } from '../objects/names.ts';
import type { Container } from '../objects/pod.ts';
import type { Facts } from './pod-facts.ts';
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
  /** `[1, 16]`; `undefined` where neither tag nor label tells. */
  readonly version: readonly [number, number] | undefined;
  readonly args: readonly string[];
}

/** The Velero of a cluster. */
export interface Velero {
  /** Mostly one. */
  readonly servers: readonly VeleroServer[];
  /** Something that will install it is among the objects. */
  readonly promised: boolean;
  readonly schedules: readonly KubeObject[];
  /** Single backups that have not run yet. */
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
  const promised = catalog.kinds.some(
    (kind) =>
      INSTALLERS.includes(kind.split('.')[0] ?? '') &&
      catalog.all(kind).some((one) => JSON.stringify(one).includes('velero')),
  );
  const backups = catalog
    .all('Backup.velero.io')
    .filter((one) => ['New', undefined].includes(textAt(one, 'status', 'phase')));
  return { servers, promised, schedules: catalog.all('Schedule.velero.io'), backups };
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

/** What runs the hooks of this pod and copies its volumes. */
export function schedulesFor({ schedules }: Velero, facts: Facts): readonly KubeObject[] {
  return schedules.filter(
    (schedule) =>
      at(schedule, 'spec', 'paused') !== true && covers(at(schedule, 'spec', 'template'), facts),
  );
}

/** Whether a backup of this spec takes the pod. */
export function covers(spec: unknown, { subject, pod }: Facts): boolean {
  const selectors = listAt(spec, 'orLabelSelectors');
  const chosen = selectors.length > 0 ? selectors : [at(spec, 'labelSelector')];
  return (
    takesNamespace(spec, subject.namespace) &&
    takesPods(spec, 'Resources') &&
    takesPods(spec, 'NamespaceScopedResources') &&
    chosen.some((one) => selects(one, labelsOf(pod)))
  );
}

/** Velero's includes and excludes: no include is every one, and an exclude wins. */
export function takesNamespace(filter: unknown, namespace: string): boolean {
  const within = textsAt(filter, 'includedNamespaces');
  const wanted = within.length === 0 || listed(within, namespace);
  return wanted && !listed(textsAt(filter, 'excludedNamespaces'), namespace);
}

/** The same of kinds, for which every name that kubectl knows will do. */
export function takesPods(
  filter: unknown,
  what: 'Resources' | 'NamespaceScopedResources',
): boolean {
  const isPods = (one: string): boolean =>
    /^(?:pods?|po)$/i.test(one) || listed([one.toLowerCase()], 'pods');
  const within = textsAt(filter, `included${what}`);
  const wanted = within.length === 0 || within.some(isPods);
  return wanted && !textsAt(filter, `excluded${what}`).some(isPods);
}

/** Who has a volume copied file by file; `undefined`: nobody. */
export function fileBackupOf(velero: Velero, facts: Facts, volume: string): string | undefined {
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
  const said = own.length > 0 && own.every(({ files }) => files === false);
  return flag === undefined || said ? undefined : `Velero's ${flag}`;
}

function filesByDefault(schedule: KubeObject): unknown {
  const template = at(schedule, 'spec', 'template');
  return at(template, 'defaultVolumesToFsBackup') ?? at(template, 'defaultVolumesToRestic');
}

/** The volumes in an annotation's list. */
export function names(list: string | undefined): readonly string[] {
  return (list ?? '').split(',').map((one) => one.trim());
}
