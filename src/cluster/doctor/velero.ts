import { repositoryName } from '../inject/database.ts';
import { FILE_BACKUP, FILE_BACKUP_EXCLUDES } from '../inject/names.ts';
import type { Container } from '../inject/pod.ts';
import type { Facts } from './facts.ts';
import { sanePod } from '../inject/sane.ts';
import {
  at,
  type Catalog,
  type KubeObject,
  labelsOf,
  listAt,
  refText,
  refOf,
  textsAt,
} from './objects.ts';
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
  return { servers, promised, schedules: catalog.all('Schedule.velero.io') };
}

function serverOf(deployment: KubeObject): Container | undefined {
  const { spec } = sanePod(at(deployment, 'spec', 'template'));
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
export function schedulesFor(
  { schedules }: Velero,
  { subject, pod }: Facts,
): readonly KubeObject[] {
  return schedules.filter((schedule) => {
    if (at(schedule, 'spec', 'paused') === true) return false;
    const template = at(schedule, 'spec', 'template');
    const within = textsAt(template, 'includedNamespaces');
    const resources = textsAt(template, 'includedResources');
    const selectors = listAt(template, 'orLabelSelectors');
    const chosen = selectors.length > 0 ? selectors : [at(template, 'labelSelector')];
    return (
      (within.length === 0 || listed(within, subject.namespace)) &&
      !listed(textsAt(template, 'excludedNamespaces'), subject.namespace) &&
      (resources.length === 0 || resources.some((one) => /^(?:\*|pods?|po)$/i.test(one))) &&
      chosen.some((one) => selects(one, labelsOf(pod)))
    );
  });
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
