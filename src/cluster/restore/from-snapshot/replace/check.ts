import { QuiesceError } from '../../../../errors.ts';
import { CLAIMS, type ObjectApi, PODS, rightOf, VOLUMES } from '../../../api/objects.ts';
import type { Right } from '../../../api/rights.ts';
import { membersOf, type Plan } from '../../../plan/document.ts';
import { CRON_JOBS } from '../../cron-jobs.ts';
import { textOf } from '../../mapped.ts';
import { checkVolumes, type ToMake } from '../../volumes/make.ts';
import { SCALABLE } from './scale.ts';

export function rightsToReplace(namespaces: readonly string[]): readonly Right[] {
  return [
    rightOf('patch', VOLUMES),
    ...namespaces.flatMap((one) => [
      rightOf('list', PODS, one),
      rightOf('delete', CLAIMS, one),
      rightOf('list', CRON_JOBS, one),
      rightOf('patch', CRON_JOBS, one),
      ...Object.values(SCALABLE).flatMap((kind) => [
        rightOf('get', kind, one),
        rightOf('patch', kind, one),
      ]),
    ]),
  ];
}

/**
 * Looks whether all claims of the run can be replaced. Changes nothing.
 *
 * @throws QuiesceError REPLACE_IMPOSSIBLE, STORAGE_CLASS_UNFIT, CLAIM_UNKNOWN
 */
export async function checkReplace(
  api: ObjectApi,
  plan: Plan,
  all: readonly ToMake[],
): Promise<void> {
  const cut = new Set(all.map(({ volume }) => `${volume.namespace}/${volume.claim}`));
  const wrong = membersOf(plan).filter(
    ({ namespace, kind, claims }) =>
      SCALABLE[kind] === undefined &&
      (claims.some((one) => cut.has(`${namespace}/${one}`)) || !PLAIN.has(kind)),
  );
  if (wrong.length > 0) {
    const names = wrong.map((one) => textOf(one)).join(', ');
    const text = `These cannot be stopped and started again by their replicas: ${names}.`;
    throw new QuiesceError('REPLACE_IMPOSSIBLE', text);
  }
  // The claims that are there are those to be replaced.
  await checkVolumes(api, all, { present: true });
}

/** Without a claim to replace they go on while their databases are away. */
const PLAIN = new Set(['Pod', 'DaemonSet']);
