import { fileBackupOf, veleroOf } from '../inventory/velero.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { dataNotCut, type NotCut } from './data-not-cut.ts';
import type { PlanMember, PlanProblem } from './document.ts';
import { textOf } from './edges.ts';
import { Freezing } from './freezing.ts';
import { listed } from './many-names.ts';
import type { Draft } from './member.ts';
import type { Use } from './uses.ts';

/** What a snapshot of a member leaves unfrozen, and what of its database it does not cut. */
export type Frozen = Pick<PlanMember, 'unfrozen' | 'dataNotCut'>;

export function frozenOf(
  chosen: readonly Draft[],
  uses: readonly Use[],
): ReadonlyMap<Draft, Frozen> {
  const freezing = new Freezing(uses, chosen);
  return new Map(
    chosen.map((one) => {
      const [unfrozen, lost] = [freezing.unfrozen(one), dataNotCut(one)];
      return [
        one,
        {
          ...(unfrozen.length > 0 && { unfrozen }),
          ...(lost.length > 0 && { dataNotCut: lost.map(({ why }) => why) }),
        },
      ];
    }),
  );
}

/** What keeps a snapshot from being proven, or from being made at all. */
export function frozenProblems(
  member: Draft,
  frozen: Frozen | undefined,
  catalog: Catalog,
): readonly PlanProblem[] {
  return [
    ...podProblems(member),
    ...(frozen?.unfrozen ?? []).flatMap((one) => notFrozen(member, one)),
    ...dataNotCut(member)
      .filter((one) => !isCopied(member, one, catalog))
      .map(({ why }): PlanProblem => ({
        code: 'DATA_NOT_CUT',
        severity: 'error',
        object: textOf(member),
        message: `${why} No snapshot holds it, so a snapshot of the application is not proven.`,
        fix: 'Put the data on a claim that is cut. If it is not missed after a restore, declare it: quiesce.dev/state: "VOLUME=discard" or "VOLUME=rebuild".',
      })),
  ];
}

function notFrozen(
  member: Draft,
  { claim, volume, why, declared }: NonNullable<Frozen['unfrozen']>[number],
): readonly PlanProblem[] {
  if (declared !== undefined) return [];
  return [
    {
      code: 'CLAIM_NOT_FROZEN',
      severity: 'warning',
      object: textOf(member),
      message: `No sidecar freezes all that is written to the claim ${claim}, so a snapshot with it is not proven: ${why}.`,
      fix: `Stop that writer for the snapshot, or let it mount the claim read-only. If the volume needs no freeze, and no database that is frozen has its data there, declare it: quiesce.dev/freeze: "${volume ?? 'VOLUME'}=none".`,
    },
  ];
}

/** Velero copies the volume file by file, so its backups hold it. */
function isCopied({ namespace }: Draft, { facts, volume }: NotCut, catalog: Catalog): boolean {
  if (volume === undefined) return false;
  const { annotations, pod } = facts;
  const given = { annotations, pod, workload: { namespace } };
  return fileBackupOf(veleroOf(catalog), given, volume) !== undefined;
}

function podProblems(member: Draft): readonly PlanProblem[] {
  const { missingPods = [], views, protection, claims, namespace } = member;
  if (claims.length === 0 || protection === 'not-needed' || protection === 'none') return [];
  const object = textOf(member);
  const leaving = views.flatMap((view) => (view.leaving === true ? (view.live ?? []) : []));
  const problems: PlanProblem[] = [];
  if (missingPods.length > 0) {
    problems.push({
      code: 'POD_MISSING',
      severity: 'error',
      object,
      message: `Pods that it should have are not there: ${listed(missingPods)}. A snapshot is refused, since they could start and write while it is made.`,
      fix: `kubectl -n ${namespace} get events says why. If they are not meant to run, scale it to those that do.`,
    });
  }
  if (leaving.length > 0) {
    problems.push({
      code: 'POD_LEAVING',
      severity: 'warning',
      object,
      message: `Pods of it that are being deleted may still write: ${listed(leaving)}. A snapshot freezes them, too, and fails if one goes meanwhile.`,
      fix: 'Wait until they are gone. On a node that is lost they never are: look at the node first.',
    });
  }
  return problems;
}
