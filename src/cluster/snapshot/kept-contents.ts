import { CONTENTS, each, type ObjectApi, SNAPSHOTS } from '../api/objects.ts';
import { type KubeObject, labelsOf, textAt } from '../objects/kube-object.ts';
import { KEPT, RUN_LABELS } from '../run/names.ts';
import type { RunVerdict, SnapshotRun } from './document.ts';
import { contentOf } from './look.ts';
import type { CutSnapshot } from './volumes.ts';

/**
 * Contents of a class with `deletionPolicy: Retain` outlive the namespace of their run. They get the facts
 * that a restore needs then, and the verdict after all else is on record: so none of them says more than
 * the run is worth. Without the right to patch them the run can be restored while its namespace is there.
 */
export class KeptContents {
  readonly #api: ObjectApi;
  readonly #run: SnapshotRun;
  readonly #names = new Set<string>();

  constructor(api: ObjectApi, run: SnapshotRun) {
    this.#api = api;
    this.#run = run;
  }

  /** @param facts annotations of the snapshot */
  async write(
    { namespace, name, claim }: CutSnapshot,
    facts: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { id, group, members } = this.#run;
    try {
      const snapshot = await this.#api.get(SNAPSHOTS, namespace, name);
      const content = await keptContentOf(this.#api, snapshot);
      if (content === undefined) return;
      const count = new Set(
        members.flatMap(({ snapshots }) => snapshots.map((one) => `${one.namespace}/${one.name}`)),
      ).size;
      const annotations = {
        ...facts,
        [KEPT.claim]: `${namespace}/${claim}`,
        [KEPT.count]: String(count),
      };
      const labels = {
        [RUN_LABELS.group]: group,
        [RUN_LABELS.run]: id,
        [RUN_LABELS.verdict]: 'pending',
      };
      if (await patched(this.#api, content, { labels, annotations })) {
        this.#names.add(content.metadata?.name ?? '');
      }
    } catch {
      // A refused or lost request costs this, and not the run.
    }
  }

  async verdict(verdict: RunVerdict): Promise<void> {
    await each([...this.#names], async (name) => {
      const labels = { [RUN_LABELS.verdict]: verdict };
      await patched(this.#api, { metadata: { name } }, { labels }).catch(() => false);
    });
  }
}

/** The contents that outlive these snapshots say `failed` from now on, as far as one may write it. */
export async function failKept(api: ObjectApi, snapshots: readonly KubeObject[]): Promise<void> {
  await each(snapshots, async (snapshot) => {
    try {
      const content = await keptContentOf(api, snapshot);
      if (content === undefined || labelsOf(content)[RUN_LABELS.run] === undefined) return;
      await patched(api, content, { labels: { [RUN_LABELS.verdict]: 'failed' } });
    } catch {
      // The run's own objects say it.
    }
  });
}

async function keptContentOf(
  api: ObjectApi,
  snapshot: KubeObject | undefined,
): Promise<KubeObject | undefined> {
  const name = contentOf(snapshot);
  const content = name === undefined ? undefined : await api.get(CONTENTS, undefined, name);
  const own = textAt(content, 'spec', 'volumeSnapshotRef', 'uid') === snapshot?.metadata?.uid;
  return own && textAt(content, 'spec', 'deletionPolicy') === 'Retain' ? content : undefined;
}

async function patched(api: ObjectApi, { metadata }: KubeObject, change: object): Promise<boolean> {
  const uid = metadata?.uid;
  const body = { metadata: { ...change, ...(uid !== undefined && { uid }) } };
  const answer = await api.send('PATCH', CONTENTS, { name: metadata?.name ?? '' }, body);
  return answer.status === 200;
}
