import {
  at,
  type KubeObject,
  labelsOf,
  namespaceOf,
  refOf,
  textAt,
} from '../../objects/kube-object.ts';
import { lacksGroups, refusedParameters } from '../../inventory/drivers.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import type { ClusterRule } from '../rule.ts';
import { copiedAsFiles } from '../copies.ts';
import type { VeleroServer } from '../../inventory/velero.ts';

/** The first release with built-in CSI support, and the oldest whose hooks were studied. */
const OLDEST = [1, 14] as const;
const CLASS_LABEL = 'velero.io/csi-volumesnapshot-class';
const CLASSES = 'VolumeSnapshotClass.snapshot.storage.k8s.io';
const GROUP_CLASSES = 'VolumeGroupSnapshotClass.groupsnapshot.storage.k8s.io';

/** Whether a Velero server should be present: in a cluster, or with Schedules or workloads to back up. */
function isExpected({ catalog, facts, velero }: ClusterFacts): boolean {
  const stateful = facts.some(({ persistent }) => persistent.length > 0);
  if (catalog.scope === 'cluster') return true;
  return velero.schedules.length > 0 || (catalog.scope === 'set' && stateful);
}

function isTooOld({ version }: VeleroServer): boolean {
  const [major, minor] = version ?? OLDEST;
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}

/** Without a third number, the version may be one of them. */
function thawsEarly({ version, patch = 0 }: VeleroServer): boolean {
  const [major, minor] = version ?? [];
  return major === 1 && (minor === 14 || (minor === 15 && patch === 0));
}

function about(object: KubeObject, report: string) {
  return { object: refOf(object), report };
}

export const veleroRules: readonly ClusterRule[] = [
  {
    code: 'VELERO_MISSING',
    severity: 'error',
    title: 'There is no Velero server',
    why: 'Nothing runs the hooks, so nothing is ever frozen or copied.',
    fix: 'Install Velero 1.14 or newer (docs/velero.md lists the settings that matter).',
    *check(around) {
      const { velero, catalog } = around;
      if (velero.servers.length > 0 || velero.willBeInstalled || !isExpected(around)) return;
      if (!catalog.sees('deployments.apps')) return;
      const object = { kind: 'Deployment', name: 'velero', namespace: 'velero' };
      yield { object, report: 'No Deployment runs a Velero server.' };
    },
  },
  {
    code: 'VELERO_TOO_OLD',
    severity: 'error',
    title: 'Velero is older than 1.14',
    why: 'Before 1.14, CSI snapshots need a separate plugin, and hooks behave differently from what quiesce relies on.',
    fix: 'Upgrade Velero; 1.18 or newer also queues backups whose namespaces overlap.',
    *check(around) {
      for (const server of around.velero.servers.filter(isTooOld)) {
        yield about(server.deployment, `It runs Velero ${server.version?.join('.')}.`);
      }
    },
  },
  {
    code: 'VELERO_POST_HOOK_EARLY',
    severity: 'error',
    title: 'This version of Velero thaws before the files are copied',
    why: 'From 1.14.0 to 1.15.0, Velero runs the post hook of a file-system backup when the upload has begun, not when it has ended: the files go on being copied after the thaw.',
    fix: 'Upgrade Velero to 1.15.1 or newer, or use snapshots for these volumes.',
    *check(around) {
      const { velero, facts } = around;
      const copied = facts.find(
        (one) =>
          one.sidecar !== undefined &&
          one.data !== undefined &&
          copiedAsFiles(around, one, one.data.volume) !== undefined,
      );
      if (copied === undefined) return;
      const { workload, data } = copied;
      for (const server of velero.servers.filter(thawsEarly)) {
        const version = [
          ...(server.version ?? []),
          ...(server.patch === undefined ? [] : [server.patch]),
        ];
        const report = `It runs Velero ${version.join('.')}, and the files of ${workload.namespace}/${workload.name} (${data?.volume}) are copied one by one.`;
        yield about(server.deployment, report);
      }
    },
  },
  {
    code: 'VELERO_VERSION_UNKNOWN',
    severity: 'info',
    title: 'The version of Velero is unknown',
    why: 'It was not checked whether it is 1.14 or newer.',
    fix: 'Use an image with a version as its tag, or the label app.kubernetes.io/version.',
    *check({ velero: { servers } }) {
      for (const { deployment, version } of servers) {
        if (version !== undefined) continue;
        yield about(deployment, 'Neither the tag of its image nor a label shows the version.');
      }
    },
  },
  {
    code: 'VELERO_NOT_RUNNING',
    severity: 'error',
    title: 'The Velero server does not run',
    why: 'No backups are made. A backup that was in progress is never resumed, and its post hooks do not run.',
    fix: 'Find the cause with kubectl -n velero describe deployment velero, and scale it to 1.',
    *check({ velero: { servers } }) {
      for (const { deployment } of servers) {
        if (at(deployment, 'spec', 'replicas') === 0) {
          const fix = `kubectl -n ${namespaceOf(deployment)} scale deployment ${deployment.metadata?.name} --replicas 1`;
          yield { object: refOf(deployment), report: { message: 'It is scaled to 0.', fix } };
        } else if (at(deployment, 'status') !== undefined && available(deployment) === 0) {
          const fix = `kubectl -n ${namespaceOf(deployment)} describe deployment ${deployment.metadata?.name} says why.`;
          const message = 'None of its pods is available.';
          yield { object: refOf(deployment), report: { message, fix } };
        }
      }
    },
  },
  {
    code: 'VELERO_STORAGE',
    severity: 'error',
    title: 'Velero cannot store backups',
    why: 'Every backup fails validation, or waits.',
    fix: 'Run velero backup-location get to see the problem; create a backup location if there is none.',
    *check({ catalog, velero: { servers } }) {
      const [server] = servers;
      const locations = catalog.all('BackupStorageLocation.velero.io');
      for (const location of locations) {
        const phase = textAt(location, 'status', 'phase');
        if (phase !== 'Unavailable') continue;
        const reason = textAt(location, 'status', 'message');
        yield about(location, `It is unavailable${reason === undefined ? '' : `: ${reason}`}.`);
      }
      if (server === undefined || locations.length > 0 || catalog.scope !== 'cluster') return;
      if (!catalog.sees('backupstoragelocations.velero.io')) return;
      yield about(server.deployment, 'There is no BackupStorageLocation.');
    },
  },
  {
    code: 'VELERO_CSI_OFF',
    severity: 'warning',
    title: 'Velero’s CSI support is off',
    why: 'Velero does not use the VolumeSnapshotClass that is labelled for it, so it does not copy volumes of CSI drivers.',
    fix: 'Add --features=EnableCSI to the arguments of the Velero server.',
    *check({ catalog, velero: { servers } }) {
      const labelled = catalog.all(CLASSES).filter((one) => labelsOf(one)[CLASS_LABEL] === 'true');
      if (labelled.length === 0) return;
      const names = labelled.map(({ metadata }) => metadata?.name).join(', ');
      for (const { deployment, args } of servers) {
        if (args.some((one) => one.includes('EnableCSI'))) continue;
        yield about(deployment, `It runs without EnableCSI, but ${names} is labelled for it.`);
      }
    },
  },
  {
    code: 'SNAPSHOT_CLASS_PARAMETERS',
    severity: 'error',
    title: 'A snapshot class has a parameter that its driver refuses',
    why: 'Every snapshot of the class fails, usually with InvalidArgument.',
    fix: 'Remove the parameter. quiesce freezes the database itself.',
    *check({ catalog }) {
      for (const object of [...catalog.all(CLASSES), ...catalog.all(GROUP_CLASSES)]) {
        const driver = textAt(object, 'driver') ?? '';
        const keys = Object.keys(at(object, 'parameters') ?? {});
        const refused = refusedParameters(driver, keys);
        if (refused.length === 0) continue;
        yield about(object, `${driver} refuses ${refused.join(', ')}.`);
      }
    },
  },
  {
    code: 'GROUP_CLASS_UNSUPPORTED',
    severity: 'error',
    title: 'A VolumeGroupSnapshotClass is for a driver without group snapshots',
    why: 'EBS does not support group snapshots: every group snapshot of the class fails, and so does the backup of its claims.',
    fix: 'Remove the class and the label velero.io/volume-group.',
    *check({ catalog }) {
      for (const object of catalog.all(GROUP_CLASSES)) {
        const driver = textAt(object, 'driver') ?? '';
        if (lacksGroups(driver)) yield about(object, `${driver} does not support group snapshots.`);
      }
    },
  },
  {
    code: 'SNAPSHOT_CLASS_UNLABELLED',
    severity: 'warning',
    title: 'No snapshot class of a driver is labelled for Velero',
    why: 'Velero cannot choose among several classes, and fails. A single class works only until there is a second.',
    fix: `Run kubectl label volumesnapshotclass NAME ${CLASS_LABEL}=true`,
    *check({ catalog, velero }) {
      if (velero.servers.length === 0) return;
      const drivers = new Map<string, KubeObject[]>();
      for (const object of catalog.all(CLASSES)) {
        const driver = textAt(object, 'driver') ?? '';
        drivers.set(driver, [...(drivers.get(driver) ?? []), object]);
      }
      for (const [driver, objects] of drivers) {
        const [first] = objects;
        if (first === undefined) continue;
        if (objects.some((one) => labelsOf(one)[CLASS_LABEL] === 'true')) continue;
        const all = objects.map(({ metadata }) => metadata?.name).join(', ');
        const severity = objects.length > 1 ? 'warning' : 'info';
        const message = `No class of ${driver} (${all}) has the label ${CLASS_LABEL}: "true".`;
        const fix = `kubectl label volumesnapshotclass ${objects.length > 1 ? 'NAME' : first.metadata?.name} ${CLASS_LABEL}=true`;
        yield { object: refOf(first), report: { message, severity, fix } };
      }
    },
  },
];

function available(deployment: KubeObject): number {
  const count = at(deployment, 'status', 'availableReplicas');
  return typeof count === 'number' ? count : 0;
}
