import {
  CLAIMS,
  CONFIG_MAPS,
  CONTENTS,
  groupContents,
  groupSnapshots,
  type Kind,
  rightOf,
  SNAPSHOTS,
} from '../api/objects.ts';
import { LEASES } from '../run/lease-object.ts';
import type { Right } from '../api/rights.ts';

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
