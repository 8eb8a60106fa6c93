import { type Document, isMap } from 'yaml';
import { TTL_MS } from '../../defaults.ts';
import { entryOf, isEngine } from '../../engines/names.ts';
import { QuiesceError } from '../../errors.ts';
import { includesNamespace, includesPods } from '../inventory/velero.ts';
import { at, textAt } from '../objects/kube-object.ts';
import { printDocument, readDocuments } from '../objects/yaml.ts';
import { backedUp } from './document.ts';
import { EXCLUDE, isExcluded } from './left-out.ts';
import type { PlannedMember } from './planned.ts';

export interface VeleroObject {
  /** The manifest to apply. */
  readonly text: string;
  readonly object: unknown;
  /** What the user should know, one sentence or two each. */
  readonly notes: readonly string[];
}

/** Where each kind has the spec of its backups. */
const SPEC_AT: Readonly<Record<string, readonly string[]>> = {
  Backup: ['spec'],
  Schedule: ['spec', 'template'],
};
/** The API server sets these; with them an object cannot be created or replaced. */
const SERVER_FIELDS = [
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'managedFields',
];
/** Velero cuts the volumes of a block one after another, and looks every five seconds. */
const CUT_SECONDS = 5;

/**
 * Makes Velero freeze all members around their copies: neighbours in `orderedResources` are one block, whose
 * pre hooks all run before, and whose post hooks all run after its copies.
 *
 * @param text the manifest of one Backup or Schedule; its comments and order stay
 * @throws QuiesceError MANIFEST_INVALID, or NO_MEMBERS if no pod has volumes
 */
export function veleroObject(text: string, all: readonly PlannedMember[]): VeleroObject {
  const members = all.map(backedUp);
  const { document, kind } = only(text);
  const path = SPEC_AT[kind] ?? [];
  const pods = podsInOrder(members);
  if (pods.length === 0) {
    throw new QuiesceError('NO_MEMBERS', 'No member has a pod with volumes whose name is known.', {
      hint: 'Plan the cluster itself, without -f: names of pods of Deployments are known only there.',
    });
  }
  const before: unknown = document.getIn([...path, 'orderedResources', 'pods']);
  const wanted = pods.join(',');
  setText(document, [...path, 'orderedResources', 'pods'], wanted);
  for (const field of SERVER_FIELDS) document.deleteIn(['metadata', field]);
  document.delete('status');
  const object = document.toJS() as unknown;
  const notes = [
    ...(typeof before === 'string' && before !== wanted ? [replaced(before)] : []),
    ...notIncluded(at(object, ...path), members),
    ...aboutPods(members),
    ...aboutLeftOut(all),
    ...aboutTime(members),
  ];
  return { text: printDocument(document, text), object, notes };
}

/** `setIn` alone would make absent mappings ordered ones (`!!omap`), which no API server reads. */
function setText(document: Document.Parsed, path: readonly string[], text: string): void {
  let depth = path.length - 1;
  while (depth > 0 && !isMap(document.getIn(path.slice(0, depth)))) depth -= 1;
  const value = path
    .slice(depth + 1)
    .reduceRight<unknown>((inner, key) => ({ [key]: inner }), text);
  document.setIn(path.slice(0, depth + 1), document.createNode(value));
}

function only(text: string): { document: Document.Parsed; kind: string } {
  const found = readDocuments(text).flatMap((document) => {
    const object: unknown = document.toJS();
    const kind = textAt(object, 'kind') ?? '';
    const ours = textAt(object, 'apiVersion')?.startsWith('velero.io/') === true;
    return ours && Object.hasOwn(SPEC_AT, kind) ? [{ document, kind }] : [];
  });
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  const message = `--velero needs a manifest with one Backup or Schedule of velero.io; this one has ${found.length}.`;
  throw new QuiesceError('MANIFEST_INVALID', message, { field: '--velero' });
}

/** All hooks run in this order: whoever blocks writers comes last, and waits the least. */
function podsInOrder(members: readonly PlannedMember[]): readonly string[] {
  const holding = members.filter(({ claims }) => claims.length > 0);
  const ordered = [...holding.filter((one) => !blocks(one)), ...holding.filter(blocks)];
  return ordered.flatMap(({ namespace, pods }) => pods.map((pod) => `${namespace}/${pod}`));
}

function blocks({ engine, protection }: PlannedMember): boolean {
  return (
    protection === 'sidecar' &&
    engine !== undefined &&
    isEngine(engine) &&
    entryOf(engine).blocksWrites
  );
}

function replaced(before: string): string {
  return `The manifest had orderedResources for pods, which this replaces: ${before}.`;
}

function notIncluded(spec: unknown, members: readonly PlannedMember[]): readonly string[] {
  const places = [...new Set(members.map(({ namespace }) => namespace))];
  const missing = places.filter((one) => !includesNamespace(spec, one));
  const podsIn = includesPods(spec, 'Resources') && includesPods(spec, 'NamespaceScopedResources');
  return [
    ...(missing.length === 0
      ? []
      : [`The backup does not include the namespace ${missing.join(', ')}.`]),
    ...(podsIn ? [] : ['The backup does not include pods, so Velero runs no hook in them.']),
  ];
}

function aboutPods(members: readonly PlannedMember[]): readonly string[] {
  const holding = members.filter(({ claims }) => claims.length > 0);
  const names = (some: readonly PlannedMember[]): string =>
    some.map(({ kind, name }) => `${kind}/${name}`).join(', ');
  const unnamed = holding.filter(({ pods }) => pods.length === 0);
  const changing = holding.filter(
    ({ kind, pods }) => pods.length > 0 && kind !== 'StatefulSet' && kind !== 'Pod',
  );
  const unfrozen = holding.filter(
    ({ protection }) => protection !== 'sidecar' && protection !== 'not-needed',
  );
  return [
    ...(unnamed.length === 0
      ? []
      : [
          `Pods of ${names(unnamed)} are not in the list: their names are known only where they run.`,
        ]),
    ...(changing.length === 0
      ? []
      : [
          `Pods of ${names(changing)} get new names with each rollout: print this again after one.`,
        ]),
    ...(unfrozen.length === 0
      ? []
      : [`${names(unfrozen)}: no hook freezes it. Its volumes are cut while the others are held.`]),
  ];
}

/** Velero looks at the label of the pod itself, and runs the hooks of one whose claims alone have it. */
function aboutLeftOut(members: readonly PlannedMember[]): readonly string[] {
  const pods = members.flatMap(({ namespace, leftOut, views }) =>
    (leftOut?.pods ?? [])
      .filter((name) => {
        const own = views.filter(({ live }) => live === undefined || live === name);
        return !own.every(({ pod }) => isExcluded(pod));
      })
      .map((name) => `${namespace}/${name}`),
  );
  if (pods.length === 0) return [];
  return [
    `All claims of ${pods.join(', ')} are left out, but Velero still runs the hooks of these pods, each for itself: give them the label ${EXCLUDE}: "true", too.`,
  ];
}

function aboutTime(members: readonly PlannedMember[]): readonly string[] {
  const claims = members.reduce((sum, one) => sum + one.claims.length, 0);
  const seconds = claims * CUT_SECONDS;
  const lease = TTL_MS.blocked / 1_000;
  return [
    `Velero cuts ${claims === 1 ? 'one volume' : `the ${claims} volumes in turn`}: every member is held for about ${seconds} s or longer.`,
    ...(seconds < lease || !members.some(blocks)
      ? []
      : [
          `A member that blocks writers lets go after ${lease} s, and the backup then fails: set quiesce.dev/ttl on it, or use quiesce snapshot.`,
        ]),
    'The label velero.io/volume-group on claims would cut all at once, but Velero 1.18.3 is not compatible with snapshot controller 8.7.',
  ];
}
