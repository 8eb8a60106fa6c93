import { QuiesceError } from '../../errors.ts';
import { type KubeObject, labelsOf } from '../objects/kube-object.ts';
import {
  CONFIG_MAPS,
  each,
  groupSnapshots,
  reasonOf,
  type ObjectApi,
  SNAPSHOTS,
} from '../api/objects.ts';
import type { RunVerdict, SnapshotRun } from './document.ts';
import { CLAIM_ANNOTATION } from '../run/claim-record.ts';
import { RECEIPT_ANNOTATION, REPORT_KEY, RUN_LABELS } from '../run/names.ts';
import { failKept, KeptContents } from './kept-contents.ts';
import { objectName } from '../run/object-names.ts';
import { reportText } from './report-size.ts';
import type { SeenVerdict } from './seen-verdict.ts';
import type { CutResult, CutSnapshot } from './volumes.ts';

export interface RecordTo {
  /** The namespace of the ConfigMap. */
  readonly home: string;
  /** The version of group snapshots that the cluster serves. */
  readonly groupVersion: string | undefined;
}

/**
 * Writes what came of a run. While it writes, everything says `pending`, and the report says that the run
 * failed: so a verb that is killed leaves no claim. The last write is the ConfigMap's, with the verdict.
 *
 * @throws QuiesceError RECORD_FAILED if a proven run could not be recorded whole
 */
export async function recordRun(
  api: ObjectApi,
  run: SnapshotRun,
  cut: CutResult | undefined,
  to: RecordTo,
): Promise<void> {
  const writer = new Recorder(api, run, to);
  const snapshots = cut?.snapshots ?? [];
  try {
    await each(snapshots, (one) => writer.facts(one));
    await writer.report('pending', notDone(run));
    await each(snapshots, (one) => writer.verdict(one));
    if (cut?.groupSnapshot !== undefined) await writer.groupVerdict(cut.groupSnapshot);
    await writer.report(run.verdict, run);
    await writer.kept.verdict(run.verdict);
  } catch (error) {
    await new Recorder(api, notDone(run), to).retract(snapshots);
    throw error;
  }
}

/** What the report says until all else is in place. */
function notDone(run: SnapshotRun): SnapshotRun {
  const message = 'The verb ended before it had recorded this run.';
  const problems = [...run.problems, { code: 'RUN_INTERRUPTED', message }];
  return { ...run, verdict: 'failed', problems };
}

class Recorder {
  readonly kept: KeptContents;
  readonly #api: ObjectApi;
  readonly #run: SnapshotRun;
  readonly #to: RecordTo;

  constructor(api: ObjectApi, run: SnapshotRun, to: RecordTo) {
    this.#api = api;
    this.#run = run;
    this.#to = to;
    this.kept = new KeptContents(api, run);
  }

  /** What the volume holds, and what its claim was. */
  async facts(snapshot: CutSnapshot): Promise<void> {
    const receipt = receiptFor(this.#run, snapshot);
    const { record } = snapshot;
    if (receipt === undefined && record === undefined) return;
    const annotations = {
      ...(receipt !== undefined && { [RECEIPT_ANNOTATION]: JSON.stringify(receipt) }),
      ...(record !== undefined && { [CLAIM_ANNOTATION]: JSON.stringify(record) }),
    };
    await this.#patch(snapshot, { annotations });
    await this.kept.write(snapshot, annotations);
  }

  async verdict(snapshot: CutSnapshot): Promise<void> {
    await this.#patch(snapshot, { labels: { [RUN_LABELS.verdict]: this.#run.verdict } });
  }

  async groupVerdict({ namespace, name }: { namespace: string; name: string }): Promise<void> {
    const { groupVersion: version } = this.#to;
    if (version === undefined) return;
    const body = { metadata: { labels: { [RUN_LABELS.verdict]: this.#run.verdict } } };
    const place = { namespace, name };
    const answer = await this.#api.send('PATCH', groupSnapshots(version), place, body);
    this.#check(answer.status, `the group snapshot ${name} in ${namespace}`, reasonOf(answer));
  }

  /** Takes back what was written, as far as the API server lets it. The next run does the rest. */
  async retract(snapshots: readonly CutSnapshot[]): Promise<void> {
    const ignore = (): undefined => undefined;
    await each(snapshots, (one) => this.verdict(one).catch(ignore));
    await this.report('failed', this.#run).catch(ignore);
  }

  /** The uid keeps the label off an object that has only the name of the one that was cut. */
  async #patch(snapshot: CutSnapshot, metadata: object): Promise<void> {
    const { namespace, name, uid } = snapshot;
    const body = { metadata: { ...(uid !== undefined && { uid }), ...metadata } };
    const answer = await this.#api.send('PATCH', SNAPSHOTS, { namespace, name }, body);
    this.#check(answer.status, `the snapshot ${name} in ${namespace}`, reasonOf(answer));
  }

  /** A run that is not proven may have lost snapshots: that is part of why. */
  #check(status: number, what: string, reason: string): void {
    if (status === 200) return;
    const gone = status === 404 || status === 409;
    if (gone && this.#run.verdict !== 'proven') return;
    throw new QuiesceError(
      'RECORD_FAILED',
      `The verdict could not be written to ${what}: ${reason}.`,
    );
  }

  async report(verdict: SeenVerdict, document: SnapshotRun): Promise<void> {
    const { id, group } = this.#run;
    const name = objectName(`quiesce-${group}`, { id, group });
    const namespace = this.#to.home;
    const labels = {
      [RUN_LABELS.report]: 'snapshot',
      [RUN_LABELS.group]: group,
      [RUN_LABELS.run]: id,
      [RUN_LABELS.verdict]: verdict,
      'app.kubernetes.io/managed-by': 'quiesce',
    };
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels },
      data: { [REPORT_KEY]: reportText({ ...document, home: namespace }) },
    };
    const found = await this.#api.get(CONFIG_MAPS, namespace, name);
    if (found !== undefined && labelsOf(found)[RUN_LABELS.run] !== id) {
      throw new QuiesceError(
        'RECORD_FAILED',
        `The ConfigMap ${name} in ${namespace} is not this run’s.`,
      );
    }
    const answer =
      found === undefined
        ? await this.#api.send('POST', CONFIG_MAPS, { namespace }, body)
        : await this.#api.send('PATCH', CONFIG_MAPS, { namespace, name }, body);
    if (answer.status === 200 || answer.status === 201) return;
    const text = `The report could not be written to the ConfigMap ${name} in ${namespace}`;
    throw new QuiesceError('RECORD_FAILED', `${text}: ${reasonOf(answer)}.`);
  }
}

/** The receipt of the pod that mounts the claim; of several pods, the first that has one. */
export function receiptFor(
  { members }: SnapshotRun,
  { namespace, name, pods = [] }: CutSnapshot,
): Readonly<Record<string, unknown>> | undefined {
  const member = members.find((one) =>
    one.snapshots.some((cut) => cut.namespace === namespace && cut.name === name),
  );
  if (member === undefined) return undefined;
  const own = pods.map((pod) => member.receipts.find((one) => one.pod === pod)?.receipt);
  const found = own.find((one) => one !== undefined);
  // A member with one pod needs no pod's name to tell whose receipt it is.
  return (
    found ??
    (member.receipts.length <= 1 ? (member.receipts[0]?.receipt ?? member.receipt) : undefined)
  );
}

/** Marks objects of a run, so that none of them says more than the run is worth. */
export async function markFailed(
  api: ObjectApi,
  objects: {
    readonly snapshots: readonly KubeObject[];
    readonly groupSnapshots: readonly KubeObject[];
    readonly reports: readonly KubeObject[];
  },
  groupVersion: string | undefined,
): Promise<void> {
  const verdict: RunVerdict = 'failed';
  const mark = async (kind: Parameters<ObjectApi['send']>[1], { metadata }: KubeObject) => {
    const { namespace = '', name = '', uid } = metadata ?? {};
    const body = { metadata: { uid, labels: { [RUN_LABELS.verdict]: verdict } } };
    const answer = await api.send('PATCH', kind, { namespace, name }, body);
    if (answer.status === 200 || answer.status === 404 || answer.status === 409) return;
    const text = `${name} in ${namespace} could not be marked as failed: ${reasonOf(answer)}`;
    throw new QuiesceError('RECORD_FAILED', `${text}.`);
  };
  await failKept(api, objects.snapshots);
  // The report first: it is what most readers look at.
  await each(objects.reports, (one) => mark(CONFIG_MAPS, one));
  await each(objects.snapshots, (one) => mark(SNAPSHOTS, one));
  if (groupVersion !== undefined) {
    await each(objects.groupSnapshots, (one) => mark(groupSnapshots(groupVersion), one));
  }
}
