import { QuiesceError } from '../../../errors.ts';
import {
  CLAIMS,
  CLASSES,
  CONTENTS,
  each,
  type ObjectApi,
  rightOf,
  SNAPSHOTS,
  STORAGE_CLASSES,
  VOLUMES,
} from '../../api/objects.ts';
import type { Right } from '../../api/rights.ts';
import { type KubeObject, labelsOf, textAt } from '../../objects/kube-object.ts';
import { createOnce } from '../create-once.ts';
import { RESTORE } from '../names.ts';
import { manifestsOf, type VolumeManifests, type VolumeTarget } from './manifests.ts';
import type { SourceVolume } from './source-volume.ts';

/** A volume to make, and where. */
export interface ToMake {
  readonly volume: SourceVolume;
  readonly target: VolumeTarget;
  /** What else describes the claim: the live one, one of a manifest, a template. */
  readonly claims: readonly KubeObject[];
}

/** What one needs to make volumes in these namespaces, and to remove them. */
export function rightsToMake(namespaces: readonly string[]): readonly Right[] {
  return [
    ...['create', 'get', 'list', 'patch', 'delete'].map((verb) => rightOf(verb, CONTENTS)),
    rightOf('get', VOLUMES),
    rightOf('patch', VOLUMES),
    ...namespaces.flatMap((one) => [
      ...['create', 'get', 'list', 'delete'].map((verb) => rightOf(verb, CLAIMS, one)),
      ...['create', 'get', 'list', 'delete'].map((verb) => rightOf(verb, SNAPSHOTS, one)),
    ]),
  ];
}

/** The VolumeSnapshotClasses of the cluster. A content that names one it lacks is never ready. */
export async function snapshotClassesOf(api: ObjectApi): Promise<ReadonlySet<string>> {
  const classes = (await api.list(CLASSES, undefined)) ?? [];
  return new Set(classes.flatMap(({ metadata }) => metadata?.name ?? []));
}

/**
 * Looks whether the volumes can be made, and changes nothing.
 *
 * @param present claims of the same names may be there
 * @throws QuiesceError CLAIM_UNKNOWN, STORAGE_CLASS_UNFIT, CLAIM_EXISTS
 */
export async function checkVolumes(
  api: ObjectApi,
  all: readonly ToMake[],
  { present = false }: { readonly present?: boolean } = {},
): Promise<void> {
  const manifests = all.map((one) => ({
    ...one,
    made: manifestsOf(one.volume, one.target, one.claims),
  }));
  const classes = (await api.list(STORAGE_CLASSES, undefined)) ?? [];
  const drivers = new Map(
    classes.map((one) => [one.metadata?.name ?? '', textAt(one, 'provisioner') ?? '']),
  );
  const unfit = manifests.flatMap(({ volume, made }) => unfitClass(volume, made, drivers, classes));
  if (unfit.length > 0) throw several('STORAGE_CLASS_UNFIT', unfit);
  if (present) return;
  const taken = await each(manifests, async ({ made: { claim }, target }) => {
    const { namespace = '', name = '' } = claim.metadata ?? {};
    const found = await api.get(CLAIMS, namespace, name);
    const own = found === undefined || labelsOf(found)[RESTORE.run] === target.id;
    return own ? [] : [`There is a claim ${name} in ${namespace}`];
  });
  if (taken.flat().length > 0) throw several('CLAIM_EXISTS', taken.flat());
}

const DEFAULT_CLASS = 'storageclass.kubernetes.io/is-default-class';

function unfitClass(
  { claim, namespace, stored: { driver } }: SourceVolume,
  { claim: made }: VolumeManifests,
  drivers: ReadonlyMap<string, string>,
  classes: readonly KubeObject[],
): readonly string[] {
  const named = `the claim ${claim} in ${namespace}`;
  const own = textAt(made, 'spec', 'storageClassName');
  if (own === '') return [`${named} was bound by hand, without a StorageClass`];
  const byDefault = classes.filter(
    ({ metadata }) => metadata?.annotations?.[DEFAULT_CLASS] === 'true',
  );
  const name = own ?? byDefault[0]?.metadata?.name;
  if (name === undefined) return [`nothing says the StorageClass of ${named}`];
  const provisioner = drivers.get(name);
  if (provisioner === undefined) return [`there is no StorageClass ${name} for ${named}`];
  if (provisioner === driver) return [];
  return [
    `the StorageClass ${name} for ${named} is of ${provisioner}, and its snapshot is of ${driver}`,
  ];
}

const SHOWN = 10;

function several(
  code: 'STORAGE_CLASS_UNFIT' | 'CLAIM_EXISTS',
  all: readonly string[],
): QuiesceError {
  const more = all.length > SHOWN ? `; and ${all.length - SHOWN} more` : '';
  const text = `${all.slice(0, SHOWN).join('; ')}${more}.`;
  return new QuiesceError(code, `${text.charAt(0).toUpperCase()}${text.slice(1)}`, {
    details: { problems: all },
  });
}

/**
 * Creates the claims, and what stands between them and the storage. It may be called again after it was
 * killed. It waits for nothing: a claim whose class waits for a pod stays pending until that pod is there.
 *
 * @throws QuiesceError CLAIM_EXISTS, RESTORE_NOT_CREATED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function makeVolumes(
  api: ObjectApi,
  all: readonly ToMake[],
  signal: AbortSignal,
): Promise<void> {
  await each(all, async ({ volume, target, claims }) => {
    const { content, snapshot, claim } = manifestsOf(volume, target, claims);
    for (const [kind, object] of [
      [CONTENTS, content],
      [SNAPSHOTS, snapshot],
      [CLAIMS, claim],
    ] as const) {
      if (object === undefined) continue;
      const created = await createOnce(api, kind, object, signal);
      if (created !== 'taken') continue;
      const { namespace, name = '' } = object.metadata ?? {};
      const where = namespace === undefined ? '' : ` in ${namespace}`;
      const text = `There is ${object.kind ?? ''} ${name}${where}, and it is not of the run ${target.id}.`;
      throw new QuiesceError('CLAIM_EXISTS', text);
    }
  });
}
