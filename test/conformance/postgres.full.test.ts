import { MAJORS } from '../support/postgres.ts';
import { postgres } from './postgres.ts';
import { describeConformance } from './suite.ts';

// 17 is in postgres-holds.server.test.ts and postgres-failures.server.test.ts.
describeConformance(
  MAJORS.filter((major) => major !== 17).map((major) => postgres(major, 'sealed')),
);
