import type { App } from '../apps/index.ts';
import type { Stage } from './stage.ts';

/**
 * Leaves all members of a set but one secondary out of backups, as docs/engines/mongodb.md says: copies of
 * several members, cut one after the other, may not fit together. After a restore, the StatefulSet makes the
 * other members anew; they elect the one with data and copy it.
 *
 * @returns the pods that a backup has
 */
export async function oneSecondary(stage: Stage, app: App): Promise<readonly string[]> {
  const { namespace, pods } = app;
  const roles = await Promise.all(
    pods.map(async (pod) => (await stage.sidecar(namespace, pod).quiesce('status')).stdout),
  );
  const chosen = pods.filter((_pod, index) => / secondary/.test(roles[index] ?? '')).slice(0, 1);
  stage.equal('a member is a secondary', chosen.length, 1);
  for (const pod of pods) {
    if (chosen.includes(pod)) continue;
    const objects = [`pod/${pod}`, `pvc/data-${pod}`];
    const label = 'velero.io/exclude-from-backup=true';
    await stage.tools.kubectl(['label', '-n', namespace, ...objects, label]);
  }
  return chosen;
}
