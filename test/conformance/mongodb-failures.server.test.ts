import { mongodb } from './mongodb.ts';
import { describeConformance } from './suite.ts';

describeConformance([mongodb('standalone')], ['failures']);
