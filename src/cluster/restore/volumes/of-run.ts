import { QuiesceError } from '../../../errors.ts';
import { CONTENTS, each, type ObjectApi } from '../../api/objects.ts';
import { annotationsOf, at, type KubeObject, labelsOf, textAt } from '../../objects/kube-object.ts';
import { bytesOf } from '../../objects/bytes.ts';
import { claimRecordOn } from '../../run/claim-record.ts';
import { KEPT, RECEIPT_ANNOTATION, RUN_LABELS } from '../../run/names.ts';
import { contentOf, timeOf } from '../../snapshot/look.ts';
import { readRuns, type StoredRun } from '../../snapshot/runs.ts';
import type { SourceVolume, SourceVolumes, StoredSnapshot } from './source-volume.ts';

/**
 * The volumes of a run of `quiesce snapshot`. Without its namespaces, it is found by the contents that the
 * class has kept.
 *
 * @param namespaces where to look for it; `undefined`: everywhere
 * @throws QuiesceError RUN_NOT_FOUND, RUN_NOT_RESTORABLE, SNAPSHOT_UNUSABLE
 */
export async function volumesOfRun(
  api: ObjectApi,
  id: string,
  namespaces: readonly string[] | undefined,
): Promise<SourceVolumes> {
  const [run] = await readRuns(api, { namespaces, id });
  if (run === undefined || run.snapshots.length === 0) {
    const kept = await keptOf(api, id);
    if (kept !== undefined) return kept;
    if (run === undefined) throw new QuiesceError('RUN_NOT_FOUND', `There is no run ${id}.`);
  }
  refuseFailed(run);
  const read = await each(run.snapshots, (one) => volumeOf(api, one));
  const wrong = read.flatMap((one) => ('wrong' in one ? [one.wrong] : []));
  if (wrong.length > 0) throw unusable(wrong);
  return {
    group: run.group,
    verdict: run.document.verdict,
    takenAt: run.startedAt,
    volumes: read.flatMap((one) => ('volume' in one ? [one.volume] : [])),
  };
}

/** A run that is under way, has failed or has lost a snapshot is no source. */
function refuseFailed({ id, verdict, document }: StoredRun): void {
  if (verdict === 'proven' || verdict === 'unproven') return;
  const why = document.problems.slice(0, 3).map(({ message }) => ` ${message}`);
  const text =
    verdict === 'pending'
      ? `The run ${id} is not recorded.`
      : `The run ${id} has failed.${why.join('')}`;
  throw new QuiesceError('RUN_NOT_RESTORABLE', text, { details: { problems: document.problems } });
}

type Read = { readonly volume: SourceVolume } | { readonly wrong: string };

async function volumeOf(api: ObjectApi, snapshot: KubeObject): Promise<Read> {
  const { namespace = '', name = '', uid } = snapshot.metadata ?? {};
  const claim = textAt(snapshot, 'spec', 'source', 'persistentVolumeClaimName') ?? '';
  const named = `the snapshot ${name} of the claim ${claim} in ${namespace}`;
  if (snapshot.metadata?.deletionTimestamp !== undefined)
    return { wrong: `${named} is being deleted` };
  if (at(snapshot, 'status', 'readyToUse') !== true)
    return { wrong: `${named} is not ready to use` };
  const bound = contentOf(snapshot);
  const content = bound === undefined ? undefined : await api.get(CONTENTS, undefined, bound);
  if (content === undefined) return { wrong: `${named} has no content` };
  if (textAt(content, 'spec', 'volumeSnapshotRef', 'uid') !== uid) {
    return { wrong: `${named} is bound to the content of another snapshot` };
  }
  const stored = storedOf(content);
  if (stored === undefined)
    return { wrong: `the content of ${named} names no snapshot of the storage` };
  const size = bytesOf(
    at(snapshot, 'status', 'restoreSize') ?? at(content, 'status', 'restoreSize'),
  );
  const place = { namespace, claim, snapshot: { namespace, name } };
  return { volume: { ...place, stored, ...sized(size), ...recorded(snapshot) } };
}

/** A size of 0 is a driver's way to say that it knows none. */
function sized(size: number | undefined): Pick<SourceVolume, 'restoreSize'> {
  return size === undefined || size === 0 ? {} : { restoreSize: size };
}

function recorded(object: KubeObject): Pick<SourceVolume, 'record' | 'receipt'> {
  const [record, receipt] = [claimRecordOn(object), receiptOn(object)];
  return { ...(record !== undefined && { record }), ...(receipt !== undefined && { receipt }) };
}

function receiptOn(object: KubeObject): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(annotationsOf(object)[RECEIPT_ANNOTATION] ?? '');
    return typeof parsed === 'object' && parsed !== null
      ? (parsed as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

const SECRETS = /^snapshot\.storage\.kubernetes\.io\/.*secret-name(?:space)?$/;
const MODE_CHANGE = 'snapshot.storage.kubernetes.io/allow-volume-mode-change';

/** What stands on the storage; `undefined`: the driver has not answered with a snapshot. */
export function storedOf(content: KubeObject): StoredSnapshot | undefined {
  const spec = at(content, 'spec');
  const handle =
    textAt(content, 'status', 'snapshotHandle') ?? textAt(spec, 'source', 'snapshotHandle') ?? '';
  const driver = textAt(spec, 'driver') ?? '';
  if (handle === '' || driver === '') return undefined;
  const [mode, className] = [
    textAt(spec, 'sourceVolumeMode'),
    textAt(spec, 'volumeSnapshotClassName'),
  ];
  const kept = Object.entries(annotationsOf(content)).filter(
    ([key]) => SECRETS.test(key) || key === MODE_CHANGE,
  );
  return {
    driver,
    handle,
    ...(mode !== undefined && { sourceVolumeMode: mode }),
    ...(className !== undefined && className !== '' && { className }),
    annotations: Object.fromEntries(kept),
  };
}

/** Contents that outlived the namespace of their run. Their labels are those of the run's snapshots. */
async function keptOf(api: ObjectApi, id: string): Promise<SourceVolumes | undefined> {
  const contents = (await api.list(CONTENTS, undefined, `${RUN_LABELS.run}=${id}`)) ?? [];
  const [first] = contents;
  if (first === undefined) return undefined;
  const verdicts = contents.map((one) => labelsOf(one)[RUN_LABELS.verdict]);
  const known = verdicts.find((one) => one !== 'proven') ?? 'proven';
  const read = contents.map(keptVolume);
  const volumes = read.flatMap((one) => one ?? []);
  const count = Number(annotationsOf(first)[KEPT.count]);
  if ((known !== 'proven' && known !== 'unproven') || verdicts.includes('failed')) {
    throw new QuiesceError('RUN_NOT_RESTORABLE', `The run ${id} is on record as ${known}.`);
  }
  if (volumes.length !== count) {
    const text = `Of the run ${id}, ${volumes.length} of ${count} snapshots are left.`;
    throw new QuiesceError('RUN_NOT_RESTORABLE', text);
  }
  const times = contents.flatMap(
    (one) => timeOf(one) ?? textAt(one.metadata, 'creationTimestamp') ?? [],
  );
  const [takenAt] = times.toSorted();
  return {
    group: labelsOf(first)[RUN_LABELS.group] ?? '',
    verdict: known,
    ...(takenAt !== undefined && { takenAt }),
    volumes,
  };
}

function keptVolume(content: KubeObject): SourceVolume | undefined {
  const [namespace, claim] = (annotationsOf(content)[KEPT.claim] ?? '').split('/');
  const stored = storedOf(content);
  if (!namespace || !claim || stored === undefined) return undefined;
  const size = bytesOf(at(content, 'status', 'restoreSize'));
  return { namespace, claim, stored, ...sized(size), ...recorded(content) };
}

function unusable(wrong: readonly string[]): QuiesceError {
  const shown = wrong.slice(0, 10).join('; ');
  const text = `Not usable: ${shown}${wrong.length > 10 ? `; and ${wrong.length - 10} more` : ''}.`;
  return new QuiesceError('SNAPSHOT_UNUSABLE', text);
}
