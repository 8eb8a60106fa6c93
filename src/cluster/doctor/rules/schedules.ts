import { at, type KubeObject, namespaceOf, refOf, textAt } from '../../objects/kube-object.ts';
import type { ClusterFacts } from '../../inventory/survey.ts';
import { schedulesFor } from '../../inventory/velero.ts';
import { resourcePolicyOf } from '../../inventory/volume-policies.ts';
import { policyAction } from '../copies.ts';
import type { ClusterRule, PodRule } from '../rule.ts';

/** Rules on what Schedules do with one pod's volumes. */
export const schedulePodRules: readonly PodRule[] = [
  {
    code: 'VOLUME_POLICY_SKIPS',
    severity: 'error',
    title: 'A volume policy of the Schedule skips the data',
    why: 'The database is frozen, the backup completes, and it contains no data.',
    fix: 'Put a policy with the action snapshot, or fs-backup with quiesce.dev/copy: files, before the one that matches.',
    *check(facts, { catalog, velero }) {
      const { sidecar, data } = facts;
      if (sidecar === undefined || data === undefined) return;
      for (const schedule of schedulesFor(velero, facts)) {
        if (policyAction(catalog, schedule, facts, data.volume) !== 'skip') continue;
        const name = textAt(schedule, 'spec', 'template', 'resourcePolicy', 'name');
        yield `The volume policy ${name} of the Schedule ${schedule.metadata?.name} skips its volume ${data.volume}.`;
      }
    },
  },
];

/** Names of pods, `NAMESPACE/NAME`, that a Schedule wants backed up in an order. */
function orderedPods(schedule: KubeObject): readonly string[] {
  const ordered = at(schedule, 'spec', 'template', 'orderedResources');
  const lists = Object.entries((ordered ?? {}) as Record<string, unknown>)
    .filter(([kind]) => /^(?:pods?|po)$/i.test(kind))
    .map(([, names]) => names);
  return lists
    .filter((names) => typeof names === 'string')
    .flatMap((names) => names.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Whether there is such a pod, or a workload that makes pods of such names. */
function exists({ facts, catalog }: ClusterFacts, name: string): boolean {
  const [namespace, pod] = name.includes('/') ? name.split('/') : [undefined, name];
  if (pod === undefined) return false;
  const inPlace = facts.filter(
    ({ workload }) => namespace === undefined || workload.namespace === namespace,
  );
  const live = catalog
    .all('Pod')
    .some(
      (one) =>
        one.metadata?.name === pod && (namespace === undefined || namespaceOf(one) === namespace),
    );
  // The pods of every other kind have random names, which may have been right when somebody wrote them.
  const made = inPlace.some(
    ({ workload }) =>
      pod.startsWith(`${workload.name}-`) && /^\d+$/.test(pod.slice(workload.name.length + 1)),
  );
  if (live) return true;
  return made && catalog.scope !== 'cluster';
}

/** Rules on Schedules themselves. */
export const scheduleRules: readonly ClusterRule[] = [
  {
    code: 'NO_SCHEDULE',
    severity: 'info',
    title: 'There is no Schedule, and nothing else shows that backups are made',
    why: 'Hooks run only in a backup: as long as there is none, nothing is frozen and nothing is copied.',
    fix: 'Create a Schedule (velero schedule create nightly --schedule "0 2 * * *"), or a schedule of quiesce snapshot (docs/schedules.md).',
    *check(around) {
      const { catalog, velero, facts } = around;
      const [server] = velero.servers;
      if (server === undefined || velero.schedules.length > 0 || velero.backups.length > 0) return;
      if (catalog.scope !== 'cluster' || !catalog.sees('schedules.velero.io')) return;
      const guarded = facts.filter(
        ({ sidecar, persistent }) => sidecar !== undefined && persistent.length > 0,
      );
      if (guarded.length === 0 || runsSnapshots(around)) return;
      const names = [
        ...new Set(guarded.map(({ workload }) => `${workload.namespace}/${workload.name}`)),
      ];
      const shown =
        names.slice(0, 3).join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '');
      const report = `There is no Schedule of Velero, so no backup freezes ${shown} by itself.`;
      yield { object: refOf(server.deployment), report };
    },
  },
  {
    code: 'RESOURCE_POLICY_MISSING',
    severity: 'error',
    title: 'The ConfigMap with the volume policies of a Schedule does not exist',
    why: 'Velero refuses every backup of the Schedule (FailedValidation).',
    fix: 'Create the ConfigMap in the namespace of Velero, or remove spec.template.resourcePolicy.',
    *check({ catalog, velero }) {
      if (catalog.scope !== 'cluster' || !catalog.sees('configmaps')) return;
      for (const schedule of velero.schedules) {
        const policy = resourcePolicyOf(catalog, schedule);
        if (policy === undefined || policy.object !== undefined) continue;
        const report = `Its resource policy is the ConfigMap ${policy.name}, which is not in the namespace ${policy.namespace}.`;
        yield { object: refOf(schedule), report };
      }
    },
  },
  {
    code: 'ORDERED_NOBODY',
    severity: 'warning',
    title: 'The orderedResources of a Schedule name pods that do not exist',
    why: 'Velero ignores such a name: the pods are neither backed up in that order nor frozen together.',
    fix: 'Write the names of the pods as NAMESPACE/NAME, separated by commas; quiesce plan --velero prints them.',
    *check(around) {
      if (around.catalog.scope === 'part' || !around.catalog.sees('pods')) return;
      for (const schedule of around.velero.schedules) {
        const nobody = orderedPods(schedule).filter((name) => !exists(around, name));
        if (nobody.length === 0) continue;
        const report = `Its orderedResources name ${nobody.join(', ')}, which ${nobody.length === 1 ? 'is not a pod' : 'are no pods'} here.`;
        yield { object: refOf(schedule), report };
      }
    },
  },
];

/** Whether quiesce snapshot runs on a schedule of its own. CronJobs are among manifests only. */
function runsSnapshots({ catalog }: ClusterFacts): boolean {
  return catalog.all('CronJob.batch').some((one) => JSON.stringify(one).includes('"snapshot"'));
}
