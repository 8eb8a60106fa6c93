import { catalogue, type ErrorCode } from '../../errors.ts';
import type { SnapshotRun } from './document.ts';

/** Codes of their own for what a caller can act on; every other failure is 5. */
const TOLD = new Set([3, 4, 6]);

/** The exit code of a run that has a document. A failure has that of its first problem. */
export function exitOf({ verdict, problems }: Pick<SnapshotRun, 'verdict' | 'problems'>): number {
  if (verdict === 'proven') return 0;
  if (verdict === 'unproven') return 7;
  const code = problems[0]?.code ?? '';
  if (!Object.hasOwn(catalogue, code)) return 5;
  const { exit } = catalogue[code as ErrorCode];
  return TOLD.has(exit) ? exit : code === 'CLUSTER_UNREACHABLE' ? 3 : 5;
}
