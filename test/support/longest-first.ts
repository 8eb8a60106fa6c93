import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/** Files that take longer than a minute: begun last, they would be all that still runs at the end. */
export const LONGEST = [
  'integration/files.full',
  'integration/replica.full',
  'conformance/redis.full',
  'conformance/postgres.full',
  'conformance/mongodb-failures.server',
  'conformance/postgres-failures.server',
  'conformance/mongodb-holds.server',
  'conformance/postgres-holds.server',
  'conformance/valkey-failures.server',
  'conformance/valkey-holds.server',
  'conformance/mongodb.full',
  'engines/mongodb/copies.full',
  'integration/volumes.full',
  'integration/deadman.full',
  'conformance/valkey.full',
  'engines/redis/freeze.full',
  'integration/matrix-staged.full',
  'integration/matrix-replica-paused.full',
  'engines/mongodb/set.full',
  'integration/prepare-restore.full',
  'velero/apps.full',
];

function rank({ moduleId }: TestSpecification): number {
  const at = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
  return at === -1 ? LONGEST.length : at;
}

/** Begins the longest files first; of the others, those that took longest the last time. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => rank(one) - rank(other));
  }
}
