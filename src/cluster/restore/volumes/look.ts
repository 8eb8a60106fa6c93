import { CLAIMS, type Kind, type ObjectApi, SNAPSHOTS } from '../../api/objects.ts';
import { at, type KubeObject, namespaceOf, textAt } from '../../objects/kube-object.ts';
import { bytesOf } from '../../objects/bytes.ts';
import { errorOf } from '../../snapshot/look.ts';
import { RESTORE } from '../names.ts';

/** A claim that a run has made. */
export interface MadeClaim {
  readonly namespace: string;
  readonly claim: string;
  /** `waiting`: it waits for its pod, or for the storage. */
  readonly phase: 'waiting' | 'bound' | 'lost';
  /** What the storage says. */
  readonly why?: string;
  readonly bytes?: number;
}

const EVENTS: Kind = { group: '', version: 'v1', plural: 'events' };

/** The claims that a run has made in these namespaces. Without the right to read Events, `why` is less. */
export async function lookAtClaims(
  api: ObjectApi,
  { id, namespaces }: { readonly id: string; readonly namespaces: readonly string[] },
): Promise<readonly MadeClaim[]> {
  const mine = `${RESTORE.run}=${id}`;
  const [claims, snapshots] = await Promise.all([
    api.listIn(CLAIMS, namespaces, mine),
    api.listIn(SNAPSHOTS, namespaces, mine),
  ]);
  const pending = claims.filter((one) => phaseOf(one) !== 'bound');
  const events = pending.length === 0 ? [] : await eventsIn(api, namespaces);
  return claims.map((claim): MadeClaim => {
    const [phase, bytes] = [phaseOf(claim), bytesOf(at(claim, 'status', 'capacity', 'storage'))];
    const why = phase === 'bound' ? undefined : whyNot(claim, snapshots, events);
    return {
      namespace: namespaceOf(claim),
      claim: claim.metadata?.name ?? '',
      phase,
      ...(why !== undefined && { why }),
      ...(bytes !== undefined && { bytes }),
    };
  });
}

function phaseOf(claim: KubeObject): MadeClaim['phase'] {
  const phase = textAt(claim, 'status', 'phase');
  return phase === 'Bound' ? 'bound' : phase === 'Lost' ? 'lost' : 'waiting';
}

function whyNot(
  claim: KubeObject,
  snapshots: readonly KubeObject[],
  events: readonly KubeObject[],
): string | undefined {
  const source = textAt(claim, 'spec', 'dataSource', 'name');
  const snapshot = snapshots.find(
    (one) => one.metadata?.name === source && namespaceOf(one) === namespaceOf(claim),
  );
  const failed = events.filter(
    (one) =>
      textAt(one, 'involvedObject', 'uid') === claim.metadata?.uid &&
      textAt(one, 'reason') === 'ProvisioningFailed',
  );
  const newest = failed.toSorted((a, b) => timeOf(b).localeCompare(timeOf(a)))[0];
  const said = errorOf(snapshot) ?? textAt(newest, 'message');
  return said?.replaceAll(/\s+/g, ' ').replace(/\.$/, '').slice(0, 600);
}

function timeOf(event: KubeObject): string {
  return textAt(event, 'lastTimestamp') ?? textAt(event, 'eventTime') ?? '';
}

async function eventsIn(
  api: ObjectApi,
  namespaces: readonly string[],
): Promise<readonly KubeObject[]> {
  try {
    return await api.listIn(EVENTS, namespaces);
  } catch {
    return [];
  }
}
