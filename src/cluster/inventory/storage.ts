import type { Catalog } from './catalog.ts';
import { annotationsOf, at, type KubeObject, textAt } from '../objects/kube-object.ts';
import { servingDriver } from './drivers.ts';

const DEFAULT_CLASS = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

export type ClaimDriver = { readonly driver: string } | { readonly problem: string } | undefined;

/** The driver of a claim's volume: what the volume says, else its class. `undefined`: it cannot be told. */
export function driverOf(claim: KubeObject, catalog: Catalog): ClaimDriver {
  const volume = volumeOfClaim(claim, catalog);
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

export function volumeOfClaim(claim: KubeObject, catalog: Catalog): KubeObject | undefined {
  return catalog.getGlobal('PersistentVolume', textAt(claim, 'spec', 'volumeName') ?? '');
}

function isDefault(object: KubeObject): boolean {
  const annotations = annotationsOf(object);
  return DEFAULT_CLASS.some((key) => annotations[key] === 'true');
}
