import type { App } from '../apps/index.ts';
import { until } from '../wait.ts';
import type { Stage } from './stage.ts';

/** The sidecars learn the roles a moment after the set has elected its primary. */
const WITHIN_MS = 60_000;

/**
 * Leaves all members of a set but one secondary out of backups, as docs/engines/mongodb.md says: copies of
 * several members, cut one after the other, may not fit together. After a restore, the StatefulSet makes the
 * other members anew; they elect the one with data and copy it.
 *
 * @returns the pods that a backup has
 */
export async function oneSecondary(stage: Stage, app: App): Promise<readonly string[]> {
  const { namespace, pods } = app;
  const chosen = await until('a member is a secondary', WITHIN_MS, async () => {
    for (const pod of pods) {
      const { stdout } = await stage.sidecar(namespace, pod).quiesce('status');
      if (/ secondary/.test(stdout)) return pod;
    }
    return undefined;
  });
  for (const pod of pods) {
    if (pod === chosen) continue;
    const objects = [`pod/${pod}`, `pvc/data-${pod}`];
    const label = 'velero.io/exclude-from-backup=true';
    await stage.tools.kubectl(['label', '-n', namespace, ...objects, label]);
  }
  return [chosen];
}
