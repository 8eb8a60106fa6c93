import { resolve } from 'node:path';
import { toQuiesceError, QuiesceError } from '../../../errors.ts';
import { ObjectApi } from '../../api/objects.ts';
import type { PodConnection } from '../../api/reader.ts';
import type { Inventory } from '../../inventory/catalog.ts';
import type { KubeObject } from '../../objects/kube-object.ts';
import type { PlannedMember } from '../../plan/planned.ts';
import { type Planned, planOf } from '../../plan/plan.ts';
import type { Selection } from '../../plan/selection.ts';
import type { SnapshotRestore } from '../document.ts';
import { volumesOfRun } from '../volumes/of-run.ts';
import type { SourceVolumes } from '../volumes/source-volume.ts';
import { objectsFrom, type ObjectsFrom } from './objects-from.ts';
import { scaledBy } from './replace/scale.ts';
import { SnapshotSource } from './source.ts';

export interface SnapshotChoice {
  /** The id of the run that cut the volumes. */
  readonly run: string;
  /** Where to look for the run, and which members the application has. */
  readonly selection: Selection;
  readonly objects: ObjectsFrom;
  readonly storageClasses: ReadonlyMap<string, string>;
  readonly withIngress: boolean;
  readonly replace: boolean;
  readonly timeoutMs: number;
  readonly progress: (sentence: string) => void;
}

/**
 * Reads everything that a restore from the snapshots of a run rests on. Changes nothing.
 *
 * @throws QuiesceError RUN_NOT_FOUND, RUN_NOT_RESTORABLE, SNAPSHOT_UNUSABLE, OBJECTS_MISSING, USAGE, those
 * of a plan, and those of where the objects come from
 */
export async function readSnapshotSource(
  connection: PodConnection,
  choice: SnapshotChoice,
  signal: AbortSignal,
): Promise<SnapshotSource> {
  const { run, selection, objects: from, replace } = choice;
  const api = new ObjectApi(connection);
  if (replace && from.kind !== 'live') {
    throw new QuiesceError(
      'USAGE',
      '--replace leaves the objects as they are: it takes no others.',
    );
  }
  choice.progress(`reading the run ${run}`);
  const volumes = await volumesOfRun(api, run, selection.namespaces);
  const cut = volumes.volumes.map(({ namespace }) => namespace);
  const namespaces = [...new Set([...(selection.namespaces ?? []), ...cut])].toSorted();
  const inventory = unscaled(
    await objectsFrom(connection, from, { ...choice, namespaces }, signal),
  );
  const { plan, members } = planned(inventory, { ...selection, namespaces });
  const kept = new Set(plan.namespaces);
  return new SnapshotSource({
    api,
    run,
    volumes: withoutEphemeral(volumes, members),
    plan,
    objects: inventory.objects.filter(({ kind, metadata }) =>
      kind === 'Namespace'
        ? kept.has(metadata?.name ?? '')
        : metadata?.namespace !== undefined && kept.has(metadata.namespace),
    ),
    given: from.kind === 'manifests',
    claims: descriptionsOf(members),
    storageClasses: choice.storageClasses,
    withIngress: choice.withIngress,
    replace,
    told: toldBy(choice),
  });
}

function toldBy({
  objects,
  replace,
  withIngress,
  storageClasses,
}: SnapshotChoice): SnapshotRestore {
  const from =
    objects.kind === 'manifests'
      ? objects.paths.map((one) => (one === '-' ? one : resolve(one)))
      : objects.kind === 'backup'
        ? [objects.name]
        : undefined;
  return {
    inPlace: replace,
    objects: objects.kind,
    ...(from !== undefined && { from }),
    withIngress,
    storageClasses: Object.fromEntries(storageClasses),
  };
}

function planned(inventory: Inventory, selection: Selection): Planned {
  try {
    return planOf(inventory, selection);
  } catch (error) {
    const { code, message } = toQuiesceError(error);
    if (code !== 'NO_MEMBERS') throw error;
    throw new QuiesceError('OBJECTS_MISSING', message, { cause: error });
  }
}

/** A workload that a restore in place has stopped counts with the replicas that it will have again. */
function unscaled(inventory: Inventory): Inventory {
  const objects = inventory.objects.map((one): KubeObject => {
    const scaled = scaledBy(one);
    if (scaled === undefined) return one;
    return { ...one, spec: { ...(one['spec'] as object | undefined), replicas: scaled.replicas } };
  });
  return { ...inventory, objects };
}

/** A claim of one pod's own: Kubernetes makes it with the pod, and takes no other. */
function withoutEphemeral(
  volumes: SourceVolumes,
  members: readonly PlannedMember[],
): SourceVolumes {
  const ephemeral = new Set(
    members.flatMap(({ namespace, volumeClaims }) =>
      volumeClaims.flatMap(({ source, name }) =>
        source === 'ephemeral' ? [`${namespace}/${name}`] : [],
      ),
    ),
  );
  return {
    ...volumes,
    volumes: volumes.volumes.filter(
      ({ namespace, claim }) => !ephemeral.has(`${namespace}/${claim}`),
    ),
  };
}

function descriptionsOf(
  members: readonly PlannedMember[],
): ReadonlyMap<string, readonly KubeObject[]> {
  const found = new Map<string, KubeObject[]>();
  for (const { namespace, volumeClaims } of members) {
    for (const { name, object } of volumeClaims) {
      if (object === undefined) continue;
      const key = `${namespace}/${name}`;
      found.set(key, [...(found.get(key) ?? []), object]);
    }
  }
  return found;
}
