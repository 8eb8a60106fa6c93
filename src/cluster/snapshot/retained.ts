import { type KubeObject, textAt } from '../objects/kube-object.ts';
import { CONTENTS, each, groupContents, type ObjectApi, SNAPSHOTS } from '../api/objects.ts';
import { plain } from '../report/words.ts';
import { counted } from '../../lib/counted.ts';
import type { Retained, RunProblem } from './document.ts';
import { contentOf } from './look.ts';
import type { RunObjects } from './runs.ts';

export const NOTHING_RETAINED: Retained = { contents: [], groups: [] };

export function together(all: readonly Retained[]): Retained {
  return {
    contents: [...new Set(all.flatMap(({ contents }) => contents))],
    groups: [...new Set(all.flatMap(({ groups }) => groups))],
  };
}

export const retainsAny = ({ contents, groups }: Retained): boolean =>
  contents.length + groups.length > 0;

/** Looks at what will stay. To be asked before the snapshots are deleted. */
export async function readRetained(
  api: ObjectApi,
  { snapshots, groupSnapshots }: RunObjects,
  groupVersion: string | undefined,
): Promise<Retained> {
  const all = [...snapshots, ...(await unlabelledMembers(api, groupSnapshots))];
  const staying = async (kind: typeof CONTENTS, names: readonly string[]) => {
    const kept = await each([...new Set(names)], async (name) => {
      const content = await api.get(kind, undefined, name);
      return textAt(content, 'spec', 'deletionPolicy') === 'Retain' ? [name] : [];
    });
    return kept.flat();
  };
  const groups = groupVersion === undefined ? [] : groupSnapshots;
  return {
    contents: await staying(CONTENTS, all.map(contentName)),
    groups: await staying(groupContents(groupVersion ?? ''), groups.map(groupContentName)),
  };
}

/** The run ended before it had labelled them as its own. */
async function unlabelledMembers(
  api: ObjectApi,
  groups: readonly KubeObject[],
): Promise<readonly KubeObject[]> {
  if (groups.length === 0) return [];
  const uids = new Set(groups.map(({ metadata }) => metadata?.uid));
  const places = [...new Set(groups.map(({ metadata }) => metadata?.namespace ?? ''))];
  const listed = await api.listIn(SNAPSHOTS, places);
  return listed.filter(({ metadata }) =>
    metadata?.ownerReferences?.some(({ uid }) => uids.has(uid)),
  );
}

/** The snapshot controller names a content by the uid of its snapshot, before it says that both are bound. */
function contentName(snapshot: KubeObject): string {
  return contentOf(snapshot) ?? `snapcontent-${snapshot.metadata?.uid ?? ''}`;
}

function groupContentName(group: KubeObject): string {
  const name = textAt(group, 'status', 'boundVolumeGroupSnapshotContentName');
  return name || `groupsnapcontent-${group.metadata?.uid ?? ''}`;
}

/** `2 VolumeSnapshotContents`, with their group’s. */
export function retainedText({ contents, groups }: Retained): string {
  return [
    ...(contents.length > 0 ? [counted(contents.length, 'VolumeSnapshotContent')] : []),
    ...(groups.length > 0 ? [counted(groups.length, 'VolumeGroupSnapshotContent')] : []),
  ].join(' and ');
}

/** Commands that free the storage: a retained content alone would leave it on the storage without a name. */
export function freeing({ contents, groups }: Retained): readonly string[] {
  const commands = (kind: string, name: string): readonly string[] => [
    `kubectl patch ${kind} ${plain(name)} --type merge -p '{"spec":{"deletionPolicy":"Delete"}}'`,
    `kubectl delete ${kind} ${plain(name)}`,
  ];
  return [
    ...groups.flatMap((name) => commands('volumegroupsnapshotcontent', name)),
    ...contents.flatMap((name) => commands('volumesnapshotcontent', name)),
  ];
}

const SHOWN = 10;

/** Of a run that failed, and whose snapshots are deleted. */
export function retainedProblem(retained: Retained): RunProblem {
  const names = [...retained.groups, ...retained.contents];
  const more = names.length > SHOWN ? `, and ${names.length - SHOWN} more` : '';
  const verb = names.length === 1 ? 'stays' : 'stay';
  return {
    code: 'STORAGE_RETAINED',
    message: `${retainedText(retained)} of what the run had cut ${verb}, and the storage behind: their class says deletionPolicy: Retain. ${names.slice(0, SHOWN).join(', ')}${more}.`,
    hint: 'Set spec.deletionPolicy of each to Delete with kubectl patch, then delete it: deleted alone, it leaves the storage.',
  };
}
