import { at, type KubeObject } from '../../objects/kube-object.ts';
import { copiedAsFiles } from '../copies.ts';
import { includesClaims, schedulesFor, whyLeftOut } from '../../inventory/velero.ts';
import type { PodRule } from '../rule.ts';

/** Rules on the backups of one pod. */
export const backupRules: readonly PodRule[] = [
  {
    code: 'NOT_SCHEDULED',
    severity: 'warning',
    title: 'No Schedule backs up a protected workload',
    why: 'No hook ever calls the sidecar.',
    fix: 'Add the namespace to a Schedule (spec.template.includedNamespaces) that also includes pods: hooks run only for pods.',
    *check(facts, { catalog, velero }) {
      if (facts.sidecar === undefined || facts.persistent.length === 0) return;
      if (catalog.scope === 'part' || !catalog.sees('schedules.velero.io')) return;
      if (velero.schedules.length === 0 || schedulesFor(velero, facts).length > 0) return;
      const reasons = velero.schedules.slice(0, 5).map((one) => {
        const why =
          at(one, 'spec', 'paused') === true
            ? 'is paused'
            : whyLeftOut(at(one, 'spec', 'template'), facts);
        return `${one.metadata?.name} ${why ?? ''}`;
      });
      yield `None of the Schedules covers its pods in ${facts.workload.namespace}: ${reasons.join('; ')}.`;
    },
  },
  {
    code: 'VOLUMES_NOT_COPIED',
    severity: 'error',
    title: 'Backups run the hooks, but copy no volume',
    why: 'The Schedule takes no snapshots and requests no file-system backup: no backup contains the data.',
    fix: 'Remove snapshotVolumes: false from the Schedule, or set quiesce.dev/copy and backup.velero.io/backup-volumes for a file-system backup.',
    *check(facts, around) {
      const { data } = facts;
      if (facts.sidecar === undefined || data === undefined || facts.persistent.length === 0)
        return;
      const covering = schedulesFor(around.velero, facts);
      const withoutClaims = covering.filter((one) => !includesClaims(at(one, 'spec', 'template')));
      if (covering.length > 0 && withoutClaims.length === covering.length) {
        const given = withoutClaims.map(({ metadata }) => metadata?.name).join(', ');
        yield {
          message: `${given} leaves out persistentvolumeclaims, so its backups contain no volume.`,
          fix: 'Include persistentvolumeclaims and persistentvolumes in the Schedule, beside pods.',
        };
        return;
      }
      if (copiedAsFiles(around, facts, data.volume) !== undefined) return;
      const none = (one: KubeObject): boolean =>
        at(one, 'spec', 'template', 'snapshotVolumes') === false;
      if (covering.length === 0 || !covering.every(none)) return;
      const names = covering.map(({ metadata }) => metadata?.name).join(', ');
      yield `${names} has snapshotVolumes: false, and no file-system backup includes ${data.volume}.`;
    },
  },
  {
    code: 'NODE_AGENT_MISSING',
    severity: 'error',
    title: 'A file-system backup has no node agent',
    why: 'Nothing copies the files: the backup fails or waits, and the freeze with it.',
    fix: 'Install the node agent (velero install --use-node-agent), or use snapshots.',
    *check(facts, around) {
      const { catalog, velero } = around;
      if (facts.sidecar === undefined || facts.data === undefined) return;
      if (catalog.scope !== 'cluster' || velero.servers.length === 0) return;
      if (!catalog.sees('daemonsets.apps')) return;
      const agents = catalog.all('DaemonSet.apps').map(({ metadata }) => metadata?.name ?? '');
      if (agents.some((name) => /node-agent|restic/.test(name))) return;
      const by = copiedAsFiles(around, facts, facts.data.volume);
      if (by !== undefined)
        yield `${by} requests the files of ${facts.data.volume}, but no DaemonSet node-agent runs.`;
    },
  },
];
