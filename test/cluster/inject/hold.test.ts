import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { RESTORE } from '../../../src/cluster/restore/names.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

const RUN = 'shop-20260101000000-abcd';

function injected(pod: Pod) {
  const result = inject(pod, CONFIG);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  return result;
}

const restored = (hold: string, label = RUN): Pod =>
  postgresPod({
    labels: { 'velero.io/restore-name': label },
    annotations: { [RESTORE.hold]: hold },
  });

const initOf = ({ spec }: Pod) => spec?.initContainers?.at(-1);

describe('a pod that a staged restore holds', () => {
  it('waits in its init container for the annotation that releases it', () => {
    const { pod } = injected(restored(RUN));
    const init = initOf(pod);
    expect(init?.args?.slice(-2)).toEqual(['--hold-file', '/run/quiesce-hold/release']);
    const mount = init?.volumeMounts?.find(({ mountPath }) => mountPath === '/run/quiesce-hold');
    expect(pod.spec?.volumes?.find(({ name }) => name === mount?.name)).toMatchObject({
      downwardAPI: {
        items: [
          {
            path: 'release',
            fieldRef: { fieldPath: "metadata.annotations['quiesce.dev/release']" },
          },
        ],
      },
    });
    expect(pod.spec?.containers?.at(-1)?.volumeMounts).not.toContainEqual(mount);
  });

  it('needs no second patch, with the API server’s defaults', () => {
    const { pod } = injected(restored(RUN));
    const volumes = (pod.spec?.volumes ?? []).map((one) =>
      one['downwardAPI'] === undefined
        ? one
        : { ...one, downwardAPI: { ...(one['downwardAPI'] as object), defaultMode: 420 } },
    );
    expect(injected({ ...pod, spec: { ...pod.spec, volumes } }).patch).toEqual([]);
  });

  it('is no longer held when a later restore brings it back from a backup', () => {
    const { pod } = injected(restored(RUN));
    const later = {
      ...pod,
      metadata: {
        ...pod.metadata,
        labels: { ...pod.metadata?.labels, 'velero.io/restore-name': 'by-hand' },
      },
    };
    expect(initOf(injected(later).pod)?.args).not.toContain('--hold-file');
  });

  it('is one that a restore made, and no other', () => {
    for (const pod of [
      postgresPod({ annotations: { [RESTORE.hold]: RUN } }),
      restored('', ''),
      restored('other'),
    ]) {
      expect(JSON.stringify(injected(pod).pod)).not.toContain('hold-file');
    }
  });
});
