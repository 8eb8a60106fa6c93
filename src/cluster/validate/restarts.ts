import { writeDuration } from '../../lib/duration.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { at, refOf, refText, textAt } from '../objects/kube-object.ts';
import { locate } from '../health/locate.ts';
import { partsOf } from '../health/pods/containers.ts';
import { Events } from '../health/events.ts';
import { PodContext } from '../health/pods/context.ts';
import type { HealthScene } from '../health/scene.ts';
import type { PlanMember } from '../plan/document.ts';
import type { ValidationProblem } from './document.ts';

/** Fewer restarts are an accident. */
const LOOP = 2;

/** Containers that have restarted within this time, by the clock of the API server. */
export function restartsOf(
  scene: HealthScene,
  members: readonly PlanMember[],
  withinMs: number,
): readonly ValidationProblem[] {
  const events = new Events(scene.catalog);
  const pods = locate(scene.catalog, members).flatMap((one) => one.pods);
  return pods.flatMap((pod) =>
    partsOf(new PodContext(pod, scene, events)).flatMap((part): readonly ValidationProblem[] => {
      const count = at(part.status, 'restartCount');
      const ended = at(part.status, 'lastState', 'terminated');
      const since = ageOf(ended, scene.catalog);
      // What does not run now is named by the health of its member.
      const runs = at(part.status, 'state', 'running') !== undefined;
      if (typeof count !== 'number' || count < 1 || part.init || !runs) return [];
      if (since === undefined || since > withinMs) return [];
      const code = at(ended, 'exitCode');
      const reason = textAt(ended, 'reason');
      const why = `code ${typeof code === 'number' ? code : '?'}${reason === undefined ? '' : `, ${reason}`}`;
      const ago = writeDuration(Math.max(1_000, Math.round(since / 1_000) * 1_000));
      return [
        {
          code: 'RESTARTED',
          severity: count >= LOOP ? 'error' : 'info',
          message: `Its container ${part.name} has restarted ${count} ${count === 1 ? 'time' : 'times'}, last ${ago} ago (${why}).`,
          hint: `kubectl logs ${pod.metadata?.name ?? ''} -c ${part.name} --previous`,
          object: refText(refOf(pod)),
        },
      ];
    }),
  );
}

function ageOf(ended: unknown, { now }: Catalog): number | undefined {
  const time = Date.parse(textAt(ended, 'finishedAt') ?? '');
  return Number.isNaN(time) ? undefined : Math.max(0, now - time);
}
