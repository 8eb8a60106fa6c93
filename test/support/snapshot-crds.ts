import type { ControlPlane } from './kubernetes.ts';

const GROUP = 'snapshot.storage.k8s.io';
const KINDS = ['VolumeSnapshot', 'VolumeSnapshotClass', 'VolumeSnapshotContent'] as const;

/**
 * Defines the kinds of the snapshot controller on an API server: with the names, the scopes and the status
 * of the real definitions, and without their schemas. No controller runs there: a test writes each status.
 */
export async function defineSnapshots(control: ControlPlane): Promise<void> {
  for (const kind of KINDS) {
    const singular = kind.toLowerCase();
    const plural = kind === 'VolumeSnapshotClass' ? `${singular}es` : `${singular}s`;
    await control.must('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      metadata: {
        name: `${plural}.${GROUP}`,
        annotations: { 'api-approved.kubernetes.io': 'unapproved, a test' },
      },
      spec: {
        group: GROUP,
        names: { kind, plural, singular },
        scope: kind === 'VolumeSnapshot' ? 'Namespaced' : 'Cluster',
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            subresources: kind === 'VolumeSnapshotClass' ? {} : { status: {} },
            schema: {
              openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        ],
      },
    });
  }
  for (const kind of ['volumesnapshots', 'volumesnapshotclasses']) await served(control, kind);
}

async function served(control: ControlPlane, plural: string): Promise<void> {
  const end = Date.now() + 60_000;
  while (Date.now() < end) {
    const { status } = await control.call('GET', `/apis/${GROUP}/v1/${plural}`);
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`the server does not serve ${plural}`);
}
