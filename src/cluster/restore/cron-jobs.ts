import { each, type Kind, type ObjectApi, reasonOf } from '../api/objects.ts';
import { annotationsOf, namespaceOf } from '../objects/kube-object.ts';
import type { RestoreProblem } from './document.ts';
import { RESTORE } from './names.ts';

export const CRON_JOBS: Kind = { group: 'batch', version: 'v1', plural: 'cronjobs' };

/** Lets those CronJobs run again that this run suspended. What was suspended before stays so. */
export async function resumeCronJobs(
  api: ObjectApi,
  run: string,
  namespaces: readonly string[],
): Promise<readonly RestoreProblem[]> {
  const all = await api.listIn(CRON_JOBS, namespaces);
  const ours = all.filter((one) => annotationsOf(one)[RESTORE.suspended] === run);
  const problems = await each(ours, async (one): Promise<readonly RestoreProblem[]> => {
    const place = { namespace: namespaceOf(one), name: one.metadata?.name ?? '' };
    const metadata = { annotations: { [RESTORE.suspended]: null } };
    const body = { metadata, spec: { suspend: false } };
    const answer = await api.send('PATCH', CRON_JOBS, place, body);
    if (answer.status === 200 || answer.status === 404) return [];
    const message = `It is still suspended: ${reasonOf(answer)}.`;
    const object = `${place.namespace} CronJob/${place.name}`;
    return [
      { code: 'CRON_JOB_SUSPENDED', message, object, hint: 'Set its spec.suspend to false.' },
    ];
  });
  return problems.flat();
}
