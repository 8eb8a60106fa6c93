import { parse } from 'yaml';
import { parseQuantity } from '../objects/quantity.ts';
import type { Catalog } from './catalog.ts';
import { at, type KubeObject, labelsOf, listAt, textAt, textsAt } from '../objects/kube-object.ts';
import { driverOf, volumeOfClaim } from './storage.ts';

/** What Velero's volume policy does with a volume. `unknown`: a condition cannot be judged from here. */
export type VolumeAction = 'skip' | 'fs-backup' | 'snapshot' | 'custom' | 'none' | 'unknown';

/** The ConfigMap that a Schedule names as its resource policy. */
export interface ResourcePolicy {
  readonly name: string;
  readonly namespace: string;
  /** `undefined`: it is not in the inventory. */
  readonly object: KubeObject | undefined;
}

export function resourcePolicyOf(
  catalog: Catalog,
  schedule: KubeObject,
): ResourcePolicy | undefined {
  const name = textAt(schedule, 'spec', 'template', 'resourcePolicy', 'name');
  if (name === undefined) return undefined;
  const namespace = schedule.metadata?.namespace ?? 'velero';
  return { name, namespace, object: catalog.get('ConfigMap', namespace, name) };
}

/** The action of the first policy whose conditions the claim meets, as Velero chooses it. */
export function actionFor(
  catalog: Catalog,
  policy: ResourcePolicy,
  claim: KubeObject,
): VolumeAction {
  const data = at(policy.object, 'data');
  const [text] = Object.values((data ?? {}) as Record<string, unknown>);
  if (typeof text !== 'string') return 'unknown';
  for (const one of listAt(parsed(text), 'volumePolicies')) {
    const met = meets(at(one, 'conditions'), claim, catalog);
    if (met === undefined) return 'unknown';
    if (met) return (textAt(one, 'action', 'type') ?? 'unknown') as VolumeAction;
  }
  return 'none';
}

function parsed(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/** `undefined`: a condition depends on something that is not known. */
function meets(conditions: unknown, claim: KubeObject, catalog: Catalog): boolean | undefined {
  const answers = Object.entries(conditions ?? {}).map(([name, wanted]) =>
    CONDITIONS[name]?.(wanted, claim, catalog),
  );
  if (answers.includes(false)) return false;
  return answers.includes(undefined) ? undefined : true;
}

type Condition = (wanted: unknown, claim: KubeObject, catalog: Catalog) => boolean | undefined;

const CONDITIONS: Readonly<Record<string, Condition>> = {
  storageClass: (wanted, claim, catalog) => {
    const volume = volumeOfClaim(claim, catalog);
    const name =
      textAt(claim, 'spec', 'storageClassName') ?? textAt(volume, 'spec', 'storageClassName');
    return name === undefined ? undefined : textsAt({ wanted }, 'wanted').includes(name);
  },
  csi: (wanted, claim, catalog) => {
    const driver = driverOf(claim, catalog);
    if (driver === undefined || !('driver' in driver)) return undefined;
    const name = textAt(wanted, 'driver');
    return name === undefined || name === driver.driver;
  },
  nfs: (_, claim, catalog) => isOfType(claim, catalog, ['nfs']),
  volumeTypes: (wanted, claim, catalog) => isOfType(claim, catalog, textsAt({ wanted }, 'wanted')),
  pvcLabels: (wanted, claim) =>
    Object.entries((wanted ?? {}) as Record<string, unknown>).every(
      ([key, value]) => labelsOf(claim)[key] === value,
    ),
  pvcPhase: (wanted, claim) => {
    const phase = textAt(claim, 'status', 'phase');
    return phase === undefined ? undefined : textsAt({ wanted }, 'wanted').includes(phase);
  },
  capacity: (wanted, claim) => {
    const given = at(claim, 'spec', 'resources', 'requests', 'storage');
    const size = parseQuantity(typeof given === 'number' ? String(given) : text(given));
    const [from = '', to = ''] = text(wanted)
      .split(',')
      .map((one) => one.trim());
    if (size === undefined) return undefined;
    return (
      size >= (parseQuantity(from) ?? 0) && size <= (parseQuantity(to) ?? Number.POSITIVE_INFINITY)
    );
  },
};

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A claim becomes a volume of one of these types; those of a claim without its volume are not known. */
function isOfType(
  claim: KubeObject,
  catalog: Catalog,
  types: readonly string[],
): boolean | undefined {
  const volume = volumeOfClaim(claim, catalog);
  const spec = at(volume, 'spec');
  return spec === undefined ? undefined : types.some((type) => at(spec, type) !== undefined);
}
