import { annotationsOf, at, type Catalog, type KubeObject, textAt } from '../inventory/catalog.ts';
import { servingDriver } from '../inventory/drivers.ts';
import type { PlanProblem } from './document.ts';
import { textOf } from './edges.ts';
import type { Draft } from './member.ts';
import type { MemberClaim } from './planned.ts';

const DEFAULT_CLASS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

type Judgement = { readonly driver: string } | { readonly problem: string } | undefined;

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

/** The driver of the claim's volume: what the volume says, else its class. */
function driverOf(claim: KubeObject, catalog: Catalog): Judgement {
  const volume = catalog.getGlobal('PersistentVolume', textAt(claim, 'spec', 'volumeName') ?? '');
  const csi = textAt(volume, 'spec', 'csi', 'driver');
  if (csi !== undefined) return { driver: csi };
  if (!catalog.sees('storageclasses.storage.k8s.io')) return undefined;
  const given = at(claim, 'spec', 'storageClassName');
  const name = typeof given === 'string' ? given : undefined;
  const classes = catalog.all('StorageClass.storage.k8s.io');
  const found = classes.find((one) =>
    name === undefined ? isDefault(one) : one.metadata?.name === name,
  );
  const provisioner = textAt(found, 'provisioner');
  if (provisioner !== undefined) return { driver: servingDriver(provisioner) };
  if (volume !== undefined) return { problem: 'no CSI driver serves its volume' };
  if (name === '') return { problem: 'it has no storage class' };
  return {
    problem: name === undefined ? 'there is no default storage class' : `there is no class ${name}`,
  };
}

function isDefault(object: KubeObject): boolean {
  const annotations = annotationsOf(object);
  return DEFAULT_CLASS.some((key) => annotations[key] === 'true');
}

function classFor(driver: string, catalog: Catalog): string | undefined {
  if (!catalog.sees('volumesnapshotclasses.snapshot.storage.k8s.io')) return undefined;
  const classes = catalog.all('VolumeSnapshotClass.snapshot.storage.k8s.io');
  return classes.some((one) => textAt(one, 'driver') === driver)
    ? undefined
    : `no VolumeSnapshotClass is for its driver, ${driver}`;
}
