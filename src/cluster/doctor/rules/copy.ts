import { entryOf } from '../../../engines/names.ts';
import { FILE_BACKUP_EXCLUDES, RUN_VOLUME, STATE_VOLUME } from '../../objects/names.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import {
  type Catalog,
  type KubeObject,
  labelsOf,
  namespaceOf,
  textAt,
} from '../../inventory/catalog.ts';
import type { PodRule } from '../rule.ts';
import { fileBackupOf, names } from '../../inventory/velero.ts';

const EXCLUDE = 'velero.io/exclude-from-backup';
const GROUP = 'velero.io/volume-group';

interface Claim {
  readonly volume: string;
  readonly name: string;
  readonly object: KubeObject;
}

/** The claims behind the volumes of a pod, as far as they can be seen. */
function claimsOf({ workload, view, pod }: PodFacts, catalog: Catalog): readonly Claim[] {
  const kind = 'PersistentVolumeClaim';
  const direct = (pod.spec?.volumes ?? []).flatMap((volume): Claim[] => {
    const name = textAt(volume, 'persistentVolumeClaim', 'claimName');
    const object = name === undefined ? undefined : catalog.get(kind, workload.namespace, name);
    return object === undefined ? [] : [{ volume: volume.name, name: name ?? '', object }];
  });
  if (view.live !== undefined) return direct;
  const templates = workload.claimTemplates.flatMap((object): Claim[] => {
    const volume = object.metadata?.name ?? '';
    const pattern = new RegExp(`^${volume}-${workload.name}-\\d+$`);
    const made = catalog
      .all(kind)
      .filter((one) => namespaceOf(one) === workload.namespace)
      .filter((one) => pattern.test(one.metadata?.name ?? ''))
      .map((one) => ({ volume, name: one.metadata?.name ?? '', object: one }));
    return [{ volume, name: `${volume} (template)`, object }, ...made];
  });
  return [...direct, ...templates];
}

/** All of these volumes are cut as one group, at one moment. */
function areOneGroup(facts: PodFacts, catalog: Catalog): boolean {
  const claims = claimsOf(facts, catalog);
  const groups = facts.volumes.map((volume) => {
    const own = claims.filter((claim) => claim.volume === volume);
    return own.map(({ object }) => labelsOf(object)[GROUP]).find((group) => group !== undefined);
  });
  return groups[0] !== undefined && groups.every((group) => group === groups[0]);
}

export const copyRules: readonly PodRule[] = [
  {
    code: 'COPY_SEVERAL_VOLUMES',
    severity: 'warning',
    title: 'Several volumes with copy: snapshot',
    why: 'Velero cuts them one after the other: the copy is of several moments, and a freeze for one snapshot does not cover that (COPY_UNSUPPORTED where data lies on more than one).',
    fix: 'Set quiesce.dev/copy to volumes; or give the claims one velero.io/volume-group and a VolumeGroupSnapshotClass.',
    *check(facts, { catalog, velero }) {
      const { sidecar, volumes, copy, data } = facts;
      if (sidecar === undefined || copy !== 'snapshot' || volumes.length < 2) return;
      const files = data !== undefined && fileBackupOf(velero, facts, data.volume) !== undefined;
      if (files || areOneGroup(facts, catalog)) return;
      yield `The database writes to ${volumes.length} volumes (${volumes.join(', ')}), and copy is snapshot.`;
    },
  },
  {
    code: 'COPY_CONTRADICTS_FILE_BACKUP',
    severity: 'error',
    title: 'A file-system backup with copy: snapshot or volumes',
    why: 'Velero copies the files one by one while the server writes: a freeze for a snapshot does not make that copy true.',
    fix: 'Set quiesce.dev/copy to files, or take the volume out of the file-system backup (backup.velero.io/backup-volumes-excludes).',
    *check(facts, { velero }) {
      const { sidecar, volumes, copy } = facts;
      if (sidecar === undefined || copy === 'files') return;
      for (const volume of volumes) {
        const by = fileBackupOf(velero, facts, volume);
        if (by !== undefined)
          yield `${by} copies the volume ${volume} file by file, and copy is ${copy}.`;
      }
    },
  },
  {
    code: 'COPY_UNSUPPORTED',
    severity: 'error',
    title: 'The engine promises nothing for this copy method',
    why: 'Every freeze is refused with COPY_UNSUPPORTED.',
    fix: 'Choose a copy method of the engine (docs/engines), and a backup that goes with it (docs/velero.md).',
    *check({ sidecar, database, copy }) {
      if (sidecar === undefined || database === undefined) return;
      const { name } = database.profile;
      const { copies } = entryOf(name);
      if (!copies.includes(copy))
        yield `copy is ${copy}, and ${name} offers ${copies.join(' and ')}.`;
    },
  },
  {
    code: 'STATE_IN_FILE_BACKUP',
    severity: 'warning',
    title: 'Velero’s file-system backup may copy the sidecar’s own volumes',
    why: 'A journal restored with the pod speaks of a freeze that is long over.',
    fix: `Add ${RUN_VOLUME},${STATE_VOLUME} to ${FILE_BACKUP_EXCLUDES}.`,
    *check(facts, { velero }) {
      const excluded = names(facts.annotations[FILE_BACKUP_EXCLUDES]);
      const own = (facts.pod.spec?.volumes ?? []).map(({ name }) => name);
      const open = [RUN_VOLUME, STATE_VOLUME].filter((one) => own.includes(one));
      const left = open.filter((one) => !excluded.includes(one));
      if (facts.sidecar === undefined || left.length === 0) return;
      const by = left
        .map((one) => fileBackupOf(velero, facts, one))
        .find((one) => one !== undefined);
      if (facts.annotations[FILE_BACKUP_EXCLUDES] !== undefined) {
        yield `${FILE_BACKUP_EXCLUDES} does not have ${left.join(' and ')}.`;
      } else if (by !== undefined) {
        yield `${by} copies ${left.join(' and ')}.`;
      }
    },
  },
  {
    code: 'VOLUME_EXCLUDED',
    severity: 'error',
    title: 'What is protected is left out of Velero’s backups',
    why: 'The database is frozen, and nothing is copied; or hooks do not run at all.',
    fix: `Remove the label ${EXCLUDE}, or leave the workload out on purpose with quiesce.dev/inject: "false".`,
    *check(facts, { catalog }) {
      if (facts.sidecar === undefined) return;
      const { workload, pod, data } = facts;
      const claims = claimsOf(facts, catalog).filter(({ volume }) => volume === data?.volume);
      for (const { name, object } of claims) {
        if (labelsOf(object)[EXCLUDE] === 'true')
          yield `Its claim ${name} has the label ${EXCLUDE}.`;
      }
      if (labelsOf(pod)[EXCLUDE] === 'true') yield `Its pods have the label ${EXCLUDE}.`;
      const namespace = catalog.getGlobal('Namespace', workload.namespace);
      if (labelsOf(namespace)[EXCLUDE] === 'true') {
        yield `Its namespace ${workload.namespace} has the label ${EXCLUDE}.`;
      }
    },
  },
  {
    code: 'GROUP_CLASS_MISSING',
    severity: 'error',
    title: 'A claim is in a volume group, and there is no VolumeGroupSnapshotClass',
    why: 'With that label and without a class the backup of the claim fails.',
    fix: `Install a VolumeGroupSnapshotClass for the driver (not EBS), or remove the label ${GROUP}.`,
    *check(facts, { catalog }) {
      if (catalog.scope === 'part' || !catalog.sees(GROUP_CLASSES)) return;
      if (catalog.all('VolumeGroupSnapshotClass.groupsnapshot.storage.k8s.io').length > 0) return;
      for (const { name, object } of claimsOf(facts, catalog)) {
        const group = labelsOf(object)[GROUP];
        if (group !== undefined) yield `Its claim ${name} has the label ${GROUP}: ${group}.`;
      }
    },
  },
];

const GROUP_CLASSES = 'volumegroupsnapshotclasses.groupsnapshot.storage.k8s.io';
