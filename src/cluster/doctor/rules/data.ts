import type { PodFacts } from '../../inventory/pod-facts.ts';
import { isDecided } from '../decided.ts';
import type { PodRule, Severity } from '../rule.ts';

/**
 * How much it matters where the data is. Without a sidecar, nobody has asked for a backup: a cache is often
 * without a volume on purpose. `undefined`: the owner has decided, or it is no database.
 */
function severityOf(facts: PodFacts): Severity | undefined {
  const { sidecar, database, resembles } = facts;
  if (database === undefined) return undefined;
  if (sidecar !== undefined) return 'error';
  if (!resembles || isDecided(facts)) return undefined;
  return database.profile.oftenCache === true ? 'info' : 'warning';
}

export const dataRules: readonly PodRule[] = [
  {
    code: 'DATA_NOT_ON_VOLUME',
    severity: 'error',
    title: 'The server keeps its data where no volume is mounted',
    why: 'Nothing of it is on a volume: no backup contains it, and it is lost when the container ends.',
    fix: 'Mount a volume at that path or above it. The official PostgreSQL image keeps its data in /var/lib/postgresql/MAJOR/docker from 18 on: mount the volume at /var/lib/postgresql.',
    *check(facts) {
      const { elsewhere, database, volumes } = facts;
      const severity = severityOf(facts);
      if (severity === undefined || elsewhere === undefined) return;
      // A cache without any volume.
      if (severity === 'info' && volumes.length === 0) return;
      // Without a sidecar, UNPROTECTED reports a workload with volumes.
      const others =
        volumes.length === 0
          ? ''
          : `; its ${volumes.length === 1 ? 'volume' : 'volumes'} ${volumes.join(', ')} stay empty of it`;
      const message = `${database?.container.name} keeps its data in ${elsewhere}, where no volume is mounted${others}.`;
      yield { message, severity: volumes.length > 0 ? 'error' : severity };
    },
  },
  {
    code: 'DATA_EPHEMERAL',
    severity: 'error',
    title: 'The data is in an emptyDir',
    why: 'No snapshot includes it, and it is deleted with the pod.',
    fix: 'Mount a PersistentVolumeClaim at the path of the data. If it may be lost, remove the sidecar, or exclude the workload on purpose with quiesce.dev/inject: "false".',
    *check(facts) {
      const { data } = facts;
      const severity = severityOf(facts);
      if (severity === undefined || data?.ephemeral !== true) return;
      yield { message: `The data is in the emptyDir ${data.volume} (${data.path}).`, severity };
    },
  },
  {
    code: 'DATA_ON_HOST',
    severity: 'error',
    title: 'The data is in a hostPath',
    why: 'Velero copies a hostPath neither by snapshot nor file by file: no backup contains the data.',
    fix: 'Mount a PersistentVolumeClaim at the path of the data (a local volume is enough, with copy: files), or remove the sidecar.',
    *check({ sidecar, data }) {
      if (sidecar !== undefined && data?.onHost === true) {
        yield `The data is in the hostPath ${data.volume} (${data.path}).`;
      }
    },
  },
  {
    code: 'NOTHING_SAVED',
    severity: 'error',
    title: 'The server is configured to keep nothing on disk',
    why: 'There is nothing to back up: every freeze fails.',
    fix: 'Turn on the append-only file or snapshots, or remove the label: a cache needs no backup.',
    *check({ sidecar, database, saving }) {
      if (sidecar === undefined || database === undefined || saving === undefined) return;
      yield `${database.container.name} keeps nothing on disk: ${saving}.`;
    },
  },
];
