import { repositoryName } from '../inject/find-database.ts';
import { FILE_BACKUP, FILE_BACKUP_EXCLUDES } from '../objects/names.ts';
import type { Container } from '../objects/pod.ts';
import type { PodFacts } from './pod-facts.ts';
import { normalizePod } from '../objects/normalize.ts';
import type { Catalog } from './catalog.ts';
import {
  at,
  type KubeObject,
  labelsOf,
  listAt,
  refText,
  refOf,
  textAt,
  textsAt,
} from '../objects/kube-object.ts';
import { listed, selects } from './selectors.ts';

/** A Deployment that runs a Velero server. */
export interface VeleroServer {
  readonly deployment: KubeObject;
  /** Major and minor; `undefined` if neither the image's tag nor a label shows them. */
  readonly version: readonly [number, number] | undefined;
  /** The third number of the version; `undefined`: it is not shown. */
  readonly patch: number | undefined;
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
    const [major, minor, patch] = versionOf(deployment, image) ?? [];
    const version =
      major === undefined || minor === undefined ? undefined : ([major, minor] as const);
    return [{ deployment, version, patch, args: [...command, ...args] }];
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
): readonly number[] | undefined {
  const tag = /:([^/@]+)(?:@|$)/.exec(image ?? '')?.[1];
  for (const text of [tag, labelsOf(deployment)['app.kubernetes.io/version']]) {
    const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(text ?? '');
    if (match) return match.slice(1).flatMap((one) => (one === undefined ? [] : [Number(one)]));
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
export function includesPod(spec: unknown, backedUp: BackedUp): boolean {
  return whyLeftOut(spec, backedUp) === undefined;
}

/** Which filter of a backup leaves the pod out; `undefined`: none does. */
export function whyLeftOut(spec: unknown, { workload, pod }: BackedUp): string | undefined {
  const selectors = listAt(spec, 'orLabelSelectors');
  const chosen = selectors.length > 0 ? selectors : [at(spec, 'labelSelector')];
  if (!includesNamespace(spec, workload.namespace)) return 'does not include the namespace';
  for (const what of ['Resources', 'NamespaceScopedResources'] as const) {
    if (includesPods(spec, what)) continue;
    const excluded = textsAt(spec, `excluded${what}`).some((one) => isKind(one, PODS));
    return excluded ? `excludes pods (excluded${what})` : `does not list pods in included${what}`;
  }
  if (chosen.some((one) => selects(one, labelsOf(pod)))) return undefined;
  return 'has a label selector that does not match';
}

/** Whether a backup with this spec includes claims, without which it copies no volume. */
export function includesClaims(spec: unknown): boolean {
  return (['Resources', 'NamespaceScopedResources'] as const).every((what) =>
    includesKind(spec, what, CLAIMS),
  );
}

/** Whether Velero's filter includes the namespace. An empty include list means all; an exclude wins. */
export function includesNamespace(filter: unknown, namespace: string): boolean {
  const included = textsAt(filter, 'includedNamespaces');
  const wanted = included.length === 0 || listed(included, namespace);
  return wanted && !listed(textsAt(filter, 'excludedNamespaces'), namespace);
}

type Kinds = 'Resources' | 'NamespaceScopedResources';

/** Every name of a kind that kubectl accepts, and so Velero. */
interface KindNames {
  readonly plural: string;
  readonly others: readonly string[];
}

const PODS: KindNames = { plural: 'pods', others: ['pod', 'po'] };
const CLAIMS: KindNames = {
  plural: 'persistentvolumeclaims',
  others: ['persistentvolumeclaim', 'pvc'],
};

function isKind(given: string, { plural, others }: KindNames): boolean {
  const name = given.toLowerCase().replace(/\.v1$/, '');
  return others.includes(name) || listed([name], plural);
}

/** The same for pods among the kinds. */
export function includesPods(filter: unknown, what: Kinds): boolean {
  return includesKind(filter, what, PODS);
}

function includesKind(filter: unknown, what: Kinds, kind: KindNames): boolean {
  const included = textsAt(filter, `included${what}`);
  const wanted = included.length === 0 || included.some((one) => isKind(one, kind));
  return wanted && !textsAt(filter, `excluded${what}`).some((one) => isKind(one, kind));
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
