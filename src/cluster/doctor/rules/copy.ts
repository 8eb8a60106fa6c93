import { entryOf } from '../../../engines/names.ts';
import { FILE_BACKUP_EXCLUDES, RUN_VOLUME, STATE_VOLUME } from '../../objects/names.ts';
import { labelsOf } from '../../objects/kube-object.ts';
import { claimsOf } from '../../inventory/claims.ts';
import { copiedAsFiles } from '../copies.ts';
import type { PodRule } from '../rule.ts';
import { fileBackupOf, names } from '../../inventory/velero.ts';

const EXCLUDE = 'velero.io/exclude-from-backup';
const GROUP = 'velero.io/volume-group';

export const copyRules: readonly PodRule[] = [
  {
    code: 'COPY_SEVERAL_VOLUMES',
    severity: 'warning',
    title: 'copy is snapshot, but the database writes to several volumes',
    why: 'A freeze for a snapshot covers one volume. If more than one of them holds data, the freeze is refused with COPY_UNSUPPORTED, also if a volume group is snapshotted at one moment.',
    fix: 'Keep all of the database’s data (for PostgreSQL also pg_wal and tablespaces) on one volume. If the others hold none, nothing is wrong.',
    *check(facts, around) {
      const { sidecar, volumes, copy, data } = facts;
      if (sidecar === undefined || copy !== 'snapshot' || volumes.length < 2) return;
      const files = data !== undefined && copiedAsFiles(around, facts, data.volume) !== undefined;
      if (files) return;
      yield `The database writes to ${volumes.length} volumes (${volumes.join(', ')}), but copy is snapshot.`;
    },
  },
  {
    code: 'COPY_CONTRADICTS_FILE_BACKUP',
    severity: 'error',
    title: 'Velero copies files, but copy is snapshot or volumes',
    why: 'Velero copies the files one by one while the server writes. A freeze for a snapshot does not make such a copy true.',
    fix: 'Set quiesce.dev/copy to files, or exclude the volume from the file-system backup (backup.velero.io/backup-volumes-excludes).',
    *check(facts, around) {
      const { sidecar, volumes, copy } = facts;
      if (sidecar === undefined || copy === 'files') return;
      for (const volume of volumes) {
        const by = copiedAsFiles(around, facts, volume);
        if (by !== undefined)
          yield `${by} copies the volume ${volume} file by file, but copy is ${copy}.`;
      }
    },
  },
  {
    code: 'COPY_UNSUPPORTED',
    severity: 'error',
    title: 'The engine does not support the copy method',
    why: 'Every freeze is refused with COPY_UNSUPPORTED.',
    fix: 'Choose a copy method that the engine supports (docs/engines), and a backup of that kind (docs/velero.md).',
    *check({ sidecar, database, copy }) {
      if (sidecar === undefined || database === undefined) return;
      const { name } = database.profile;
      const { copies } = entryOf(name);
      if (!copies.includes(copy))
        yield `copy is ${copy}, but ${name} supports ${copies.join(' and ')}.`;
    },
  },
  {
    code: 'COPIED_TOO_EARLY',
    severity: 'error',
    title: 'Velero copies a volume before the thaw that must be copied after it',
    why: 'The freezes of Velero’s backups are refused with COPY_UNSUPPORTED: without that, a backup would complete, and every restore of it would be refused.',
    fix: 'Keep all of the database’s data on one volume, and remove quiesce.dev/copy; or make the backups with a tool that copies in the order of the receipt (docs/engines).',
    *check({ sidecar, database, copy }) {
      if (sidecar === undefined || database === undefined) return;
      const { name } = database.profile;
      if (entryOf(name).copiedAfterThaw?.includes(copy) === true)
        yield `copy is ${copy}: ${name} needs one volume to be copied after the thaw.`;
    },
  },
  {
    code: 'STATE_IN_FILE_BACKUP',
    severity: 'warning',
    title: 'Velero’s file-system backup may copy the sidecar’s own volumes',
    why: 'A restored pod would get a journal of a freeze that ended long ago.',
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
        yield `${FILE_BACKUP_EXCLUDES} does not list ${left.join(' and ')}.`;
      } else if (by !== undefined) {
        yield `${by} copies ${left.join(' and ')}.`;
      }
    },
  },
  {
    code: 'VOLUME_EXCLUDED',
    severity: 'error',
    title: 'A protected workload is excluded from Velero’s backups',
    why: 'The database is frozen but nothing is copied, or no hook runs at all.',
    fix: `Remove the label ${EXCLUDE}, or exclude the workload on purpose with quiesce.dev/inject: "false".`,
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
    title: 'A claim is in a volume group, but there is no VolumeGroupSnapshotClass',
    why: 'A claim with the label cannot be backed up without a class.',
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
