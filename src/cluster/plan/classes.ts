import type { Catalog } from '../inventory/catalog.ts';
import { textAt } from '../objects/kube-object.ts';
import { driverOf } from '../inventory/storage.ts';
import type { PlanProblem } from './document.ts';
import { textOf } from './edges.ts';
import type { Draft } from './member.ts';
import type { MemberClaim } from './planned.ts';

/** Claims that cannot be snapshotted. Nothing is missing from a fragment of manifests. */
export function claimProblems(member: Draft, catalog: Catalog): readonly PlanProblem[] {
  if (catalog.scope !== 'cluster') return [];
  const left = new Set(member.leftOut?.claims);
  const kept = member.volumeClaims.filter(
    ({ source, name }) => source !== 'ephemeral' && !left.has(name),
  );
  return kept.flatMap((claim) => judge(member, claim, catalog));
}

function judge(member: Draft, claim: MemberClaim, catalog: Catalog): readonly PlanProblem[] {
  const object = textOf(member);
  const live = claim.object?.metadata?.uid !== undefined;
  if (claim.object === undefined) {
    if (!catalog.sees('persistentvolumeclaims', member.namespace)) return [];
    const message = `There is no claim ${claim.name}, which its volume ${claim.volume} names.`;
    return [
      { code: 'CLAIM_MISSING', severity: 'error', object, message, fix: 'Create the claim.' },
    ];
  }
  const phase = textAt(claim.object, 'status', 'phase');
  if (live && phase !== 'Bound') {
    const message = `The claim ${claim.name} is ${phase ?? 'new'}, not Bound: it has no volume to cut.`;
    const fix = `kubectl -n ${member.namespace} describe pvc ${claim.name} says why.`;
    return [{ code: 'CLAIM_NOT_BOUND', severity: 'error', object, message, fix }];
  }
  const driver = driverOf(claim.object, catalog);
  const found = driver && ('problem' in driver ? driver.problem : classFor(driver.driver, catalog));
  if (found === undefined) return [];
  return [
    {
      code: 'CLAIM_WITHOUT_CLASS',
      severity: 'error',
      object,
      message: `The claim ${claim.name} cannot be snapshotted: ${found}.`,
      fix: 'Create a VolumeSnapshotClass for the driver, or move the data to a class whose driver takes snapshots.',
    },
  ];
}

function classFor(driver: string, catalog: Catalog): string | undefined {
  if (!catalog.sees('volumesnapshotclasses.snapshot.storage.k8s.io')) return undefined;
  const classes = catalog.all('VolumeSnapshotClass.snapshot.storage.k8s.io');
  return classes.some((one) => textAt(one, 'driver') === driver)
    ? undefined
    : `no VolumeSnapshotClass is for its driver, ${driver}`;
}
