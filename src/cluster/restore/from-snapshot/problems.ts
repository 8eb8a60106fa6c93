import { backedUp, membersOf } from '../../plan/document.ts';
import type { RestoreProblem } from '../document.ts';
import { textOf } from '../mapped.ts';
import type { SnapshotParts } from './source.ts';

/** What keeps a restore from this run from being proven, whatever its sidecars say. */
export function sourceProblems({
  run,
  volumes: { verdict, volumes },
  plan,
  replace,
}: Pick<SnapshotParts, 'run' | 'volumes' | 'plan' | 'replace'>): readonly RestoreProblem[] {
  const cut = new Set(volumes.map(({ namespace, claim }) => `${namespace}/${claim}`));
  const members = membersOf(plan);
  const used = new Set(
    members.flatMap(({ namespace, claims }) => claims.map((one) => `${namespace}/${one}`)),
  );
  const problems: RestoreProblem[] = [];
  if (verdict !== 'proven') {
    const message = `The run ${run} is ${verdict}: nothing shows that its snapshots hold all data.`;
    problems.push({ code: 'RUN_UNPROVEN', message });
  }
  for (const member of members) {
    const absent = backedUp(member).claims.filter((one) => !cut.has(`${member.namespace}/${one}`));
    if (absent.length === 0) continue;
    const then = replace ? 'They keep the data that they have' : 'They come back empty';
    problems.push({
      code: 'CLAIM_NOT_IN_RUN',
      message: `The run has no snapshot of ${absent.join(', ')}. ${then}.`,
      object: textOf(member),
    });
  }
  const unused = [...cut].filter((one) => !used.has(one));
  if (unused.length > 0) {
    problems.push({
      code: 'CLAIM_UNUSED',
      message: `No member of the plan uses ${unused.join(', ')}: nobody will see their data.`,
      hint: 'Give the manifests of the time of the snapshot with -f.',
    });
  }
  return problems;
}
