import { MAJORS } from '../support/postgres.ts';
import { postgres } from './postgres.ts';
import { describeConformance } from './suite.ts';

describeConformance(
  MAJORS.filter((major) => major >= 15).map((major) => postgres(major, 'sealed')),
);
