import { QuiesceError } from '../../errors.ts';
import {
  CLAIMS,
  CONFIG_MAPS,
  each,
  type Kind,
  type ObjectApi,
  PODS,
  rightOf,
} from '../api/objects.ts';
import { forbidden, type Right } from '../api/rights.ts';
import { labelsOf } from '../objects/kube-object.ts';
import { membersOf, type Plan, type PlanMember } from '../plan/document.ts';
import { LEASES } from '../run/lease-object.ts';
import { missingRights } from '../run/missing-rights.ts';
import { CRON_JOBS } from './cron-jobs.ts';
import { textOf } from './mapped.ts';
import { RESTORE } from './names.ts';
import { NAMESPACES } from './namespaces.ts';

const APPS: Readonly<Record<string, string>> = {
  StatefulSet: 'statefulsets',
  Deployment: 'deployments',
  DaemonSet: 'daemonsets',
  ReplicaSet: 'replicasets',
};
/** Pods there are never held back. */
const NEVER = new Set(['kube-system', 'kube-public', 'kube-node-lease']);
const SHOWN = 5;

/** What a run needs of the namespaces of its target. The source asks for its own. */
export function rightsToRestore(targets: readonly string[]): readonly Right[] {
  const own = (kind: Kind, place: string, verbs: readonly string[]): readonly Right[] =>
    verbs.map((verb) => rightOf(verb, kind, place));
  return [
    ...['get', 'list', 'create', 'patch'].map((verb) => rightOf(verb, NAMESPACES)),
    ...targets.flatMap((place) => [
      ...own(PODS, place, ['get', 'list', 'create', 'patch']),
      ...own(CLAIMS, place, ['get', 'list']),
      ...own(CRON_JOBS, place, ['list', 'patch']),
      ...own(LEASES, place, ['get', 'create', 'patch']),
      ...own(CONFIG_MAPS, place, ['get', 'list', 'create', 'patch']),
      ...Object.values(APPS).flatMap((plural) => own(appsKind(plural), place, ['get', 'list'])),
    ]),
  ];
}

/** @throws QuiesceError FORBIDDEN, with a manifest that grants them */
export async function checkRights(api: ObjectApi, rights: readonly Right[]): Promise<void> {
  const missing = await missingRights(api, rights);
  if (missing.length > 0) throw forbidden(missing, undefined, rights, 'quiesce-restore');
}

/**
 * Nothing of the application may be there: Velero would leave it as it is, and call the restore complete.
 *
 * @param plan in the namespaces of the target
 * @param inPlace the application is there, and its volumes are to be replaced
 * @throws QuiesceError RESTORE_TARGET_TAKEN, RUN_UNDER_WAY
 */
export async function checkTargets(
  api: ObjectApi,
  plan: Plan,
  never: readonly string[],
  inPlace = false,
): Promise<void> {
  for (const namespace of plan.namespaces) {
    if (NEVER.has(namespace) || never.includes(namespace)) {
      const text = `Nothing is restored into ${namespace}: pods there are never held back.`;
      throw new QuiesceError('RESTORE_TARGET_TAKEN', text);
    }
    const found = await api.get(NAMESPACES, undefined, namespace);
    if (found === undefined) continue;
    if (found.metadata?.deletionTimestamp !== undefined) {
      const hint = 'Wait until it is gone.';
      const text = `The namespace ${namespace} is being deleted.`;
      throw new QuiesceError('RESTORE_TARGET_TAKEN', text, { hint });
    }
    const run = labelsOf(found)[RESTORE.run];
    if (run !== undefined) throw underWay(namespace, run);
    if (!inPlace) await refusePresent(api, namespace, plan);
  }
}

function underWay(namespace: string, run: string): QuiesceError {
  const text = `The run ${run} restores into ${namespace}, or has stopped in the middle.`;
  const hint = `Go on with it: quiesce restore --resume ${run}. Or end it: quiesce restore --release ${run}.`;
  return new QuiesceError('RUN_UNDER_WAY', text, { hint, details: { run } });
}

async function refusePresent(api: ObjectApi, namespace: string, plan: Plan): Promise<void> {
  const own = membersOf(plan).filter((one) => one.namespace === namespace);
  const claims = new Set(own.flatMap((one) => one.claims));
  const pods = new Set(own.flatMap((one) => one.pods));
  const named = async (kind: Kind, wanted: ReadonlySet<string>, word: string) =>
    ((await api.list(kind, namespace)) ?? [])
      .map(({ metadata }) => metadata?.name ?? '')
      .filter((name) => wanted.has(name))
      .map((name) => `${namespace} ${word}/${name}`);
  const members = await each(own, async (one) => ((await exists(api, one)) ? [textOf(one)] : []));
  const present = [
    ...members.flat(),
    ...(await named(CLAIMS, claims, 'PersistentVolumeClaim')),
    ...(await named(PODS, pods, 'Pod')),
  ];
  if (present.length === 0) return;
  const more = present.length > SHOWN ? ` and ${present.length - SHOWN} more` : '';
  const names = [...new Set(present)].slice(0, SHOWN).join(', ');
  throw new QuiesceError('RESTORE_TARGET_TAKEN', `These exist: ${names}${more}.`);
}

async function exists(api: ObjectApi, { kind, namespace, name }: PlanMember): Promise<boolean> {
  const plural = APPS[kind];
  if (plural === undefined) return false;
  return (await api.get(appsKind(plural), namespace, name)) !== undefined;
}

function appsKind(plural: string): Kind {
  return { group: 'apps', version: 'v1', plural };
}
