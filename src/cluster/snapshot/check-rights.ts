import { at } from '../inventory/catalog.ts';
import {
  CLAIMS,
  CONFIG_MAPS,
  CONTENTS,
  each,
  groupContents,
  groupSnapshots,
  type Kind,
  rightOf,
  type SnapshotApi,
  SNAPSHOTS,
} from './api.ts';
import { LEASES } from './lease-object.ts';
import type { Right } from './rights.ts';

export interface Places {
  /** Of the claims. */
  readonly namespaces: readonly string[];
  /** Of the report. */
  readonly home: string;
  /** Of the Lease. */
  readonly lease: string;
}

/** The rights to hold the Lease, to cut and to record, which a run must have before it freezes anything. */
export function rightsToCut({ namespaces, home, lease }: Places): readonly Right[] {
  const own = (kind: Kind, place: string, verbs: readonly string[]): readonly Right[] =>
    verbs.map((verb) => rightOf(verb, kind, place));
  return [
    ...namespaces.flatMap((place) =>
      own(SNAPSHOTS, place, ['create', 'get', 'list', 'patch', 'delete']),
    ),
    ...own(LEASES, lease, ['get', 'create', 'patch']),
    ...own(CONFIG_MAPS, home, ['create', 'get', 'list', 'patch', 'delete']),
    rightOf('get', CONTENTS),
  ];
}

/** The rights that a group snapshot needs in addition. */
export function rightsToGroup(namespace: string, version: string): readonly Right[] {
  return [
    ...['create', 'get', 'list', 'patch', 'delete'].map((verb) =>
      rightOf(verb, groupSnapshots(version), namespace),
    ),
    rightOf('patch', CLAIMS, namespace),
    rightOf('get', groupContents(version)),
  ];
}

/** Those of the rights that the credentials lack, as the API server itself says. */
export async function missingRights(
  api: SnapshotApi,
  rights: readonly Right[],
): Promise<readonly Right[]> {
  const denied = await each(rights, async (right) => {
    const { namespace, ...attributes } = right;
    const resourceAttributes = { ...attributes, ...(namespace !== undefined && { namespace }) };
    const answer = await api.post('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes },
    });
    // A cluster that refuses the question answers when it is asked to act.
    return answer.status === 201 && at(answer.body, 'status', 'allowed') === false ? [right] : [];
  });
  return denied.flat();
}
