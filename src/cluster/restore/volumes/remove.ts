import { QuiesceError } from '../../../errors.ts';
import {
  CLAIMS,
  CONTENTS,
  each,
  type Kind,
  type ObjectApi,
  reasonOf,
  SNAPSHOTS,
  VOLUMES,
} from '../../api/objects.ts';
import { at, type KubeObject, refOf, refText, textAt } from '../../objects/kube-object.ts';
import { RESTORE } from '../names.ts';

/** What a run has made. */
export interface MadeBy {
  readonly id: string;
  readonly namespaces: readonly string[];
  /** The namespaces are the run's own: every volume that was bound in them is a copy. */
  readonly scratch?: boolean;
}

/** Claims, VolumeSnapshots and contents with the label of the run, and the volumes of the claims. */
export interface MadeObjects {
  readonly claims: readonly KubeObject[];
  readonly snapshots: readonly KubeObject[];
  readonly contents: readonly KubeObject[];
  readonly volumes: readonly KubeObject[];
}

/** What is there of a run. It is found by labels, so it can be found after the verb was killed. */
export async function readMade(
  api: ObjectApi,
  { id, namespaces, scratch = false }: MadeBy,
): Promise<MadeObjects> {
  const mine = `${RESTORE.run}=${id}`;
  const [claims, snapshots, contents] = await Promise.all([
    api.listIn(CLAIMS, namespaces, mine),
    api.listIn(SNAPSHOTS, namespaces, mine),
    api.listIn(CONTENTS, undefined, mine),
  ]);
  const own = await each(claims, (claim) => volumeOf(api, claim));
  const left = scratch ? ((await api.list(VOLUMES, undefined)) ?? []) : [];
  const released = left.filter((one) => {
    const place = textAt(one, 'spec', 'claimRef', 'namespace');
    return place !== undefined && namespaces.includes(place);
  });
  const known = own.filter((one) => one !== undefined);
  const volumes = new Map([...known, ...released].map((one) => [one.metadata?.name, one]));
  return { claims, snapshots, contents, volumes: [...volumes.values()] };
}

/** The volume that the claim is bound to. One that names another claim is somebody else's. */
async function volumeOf(api: ObjectApi, claim: KubeObject): Promise<KubeObject | undefined> {
  const name = textAt(claim, 'spec', 'volumeName') ?? '';
  const volume = name === '' ? undefined : await api.get(VOLUMES, undefined, name);
  const same = textAt(volume, 'spec', 'claimRef', 'uid') === claim.metadata?.uid;
  return same ? volume : undefined;
}

/**
 * Removes what a run has made: claims with their volumes, VolumeSnapshots and contents. The snapshots that
 * they were made from stay, on the storage and in the cluster. It may be called again at any time.
 *
 * @throws QuiesceError RESTORE_NOT_REMOVED, FORBIDDEN, CLUSTER_UNREACHABLE
 */
export async function removeMade(api: ObjectApi, by: MadeBy): Promise<MadeObjects> {
  const made = await readMade(api, by);
  // Before the claim goes: a volume that is retained would stay on the storage for ever.
  await each(made.volumes, (one) => setPolicy(api, one, 'Delete'));
  await each(made.claims, (one) => remove(api, CLAIMS, one));
  await removeStandIns(api, made);
  return made;
}

/** The contents first say `Retain`, whoever has changed them: what they stand for is the run's snapshot. */
async function removeStandIns(
  api: ObjectApi,
  { snapshots, contents }: Pick<MadeObjects, 'snapshots' | 'contents'>,
): Promise<void> {
  await each(contents, async (one) => {
    if (textAt(one, 'spec', 'deletionPolicy') === 'Retain') return;
    await patch(api, CONTENTS, one, { spec: { deletionPolicy: 'Retain' } });
  });
  await each(snapshots, (one) => remove(api, SNAPSHOTS, one));
  await each(contents, (one) => remove(api, CONTENTS, one));
}

/**
 * Once all claims are bound nothing needs the VolumeSnapshots and contents of the run any more. A volume
 * whose original was retained is retained, too.
 *
 * @param retained claims whose original volume had the policy `Retain`, as `NAMESPACE/NAME`
 * @returns claims that are not bound: what they need stays
 */
export async function settleVolumes(
  api: ObjectApi,
  by: MadeBy,
  retained: ReadonlySet<string>,
): Promise<readonly string[]> {
  const made = await readMade(api, { ...by, scratch: false });
  const keyOf = ({ metadata }: KubeObject): string => `${metadata?.namespace}/${metadata?.name}`;
  const unbound = made.claims.filter((one) => textAt(one, 'status', 'phase') !== 'Bound');
  await each(made.volumes, async (one) => {
    const claim = at(one, 'spec', 'claimRef');
    const key = `${textAt(claim, 'namespace')}/${textAt(claim, 'name')}`;
    if (retained.has(key)) await setPolicy(api, one, 'Retain');
  });
  const needed = new Set(unbound.map((one) => `${one.metadata?.namespace}/${sourceOf(one)}`));
  const snapshots = made.snapshots.filter((one) => !needed.has(keyOf(one)));
  const names = new Set(snapshots.map(keyOf));
  const contents = made.contents.filter((one) => {
    const ref = at(one, 'spec', 'volumeSnapshotRef');
    return names.has(`${textAt(ref, 'namespace')}/${textAt(ref, 'name')}`);
  });
  await removeStandIns(api, { snapshots, contents });
  return unbound.map(keyOf);
}

function sourceOf(claim: KubeObject): string {
  return textAt(claim, 'spec', 'dataSource', 'name') ?? '';
}

export async function setPolicy(
  api: ObjectApi,
  volume: KubeObject,
  policy: 'Delete' | 'Retain',
): Promise<void> {
  if (textAt(volume, 'spec', 'persistentVolumeReclaimPolicy') === policy) return;
  await patch(api, VOLUMES, volume, { spec: { persistentVolumeReclaimPolicy: policy } });
}

/** Its uid goes along, so that no other object of its name is changed. One that is gone needs nothing. */
export async function patch(
  api: ObjectApi,
  kind: Kind,
  { metadata, ...object }: KubeObject,
  change: object,
): Promise<void> {
  const { namespace, name = '', uid } = metadata ?? {};
  const place = { name, ...(namespace !== undefined && { namespace }) };
  const { metadata: more, ...rest } = change as { readonly metadata?: object };
  const body = { ...rest, metadata: { ...more, uid } };
  const answer = await api.send('PATCH', kind, place, body);
  if ([200, 404, 409].includes(answer.status)) return;
  const named = refText(refOf({ kind: kind.plural, ...object, metadata: metadata ?? {} }));
  const text = `${named} could not be changed: ${reasonOf(answer)}.`;
  throw new QuiesceError('RESTORE_NOT_REMOVED', text);
}

export async function remove(api: ObjectApi, kind: Kind, object: KubeObject): Promise<void> {
  const { namespace, name = '', uid } = object.metadata ?? {};
  const place = { name, ...(namespace !== undefined && { namespace }) };
  const options = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
  const answer = await api.send('DELETE', kind, place, options);
  // 409: another object has the name by now.
  if ([200, 202, 404, 409].includes(answer.status)) return;
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  const text = `${kind.plural} ${name}${where} could not be deleted: ${reasonOf(answer)}.`;
  throw new QuiesceError('RESTORE_NOT_REMOVED', text);
}
