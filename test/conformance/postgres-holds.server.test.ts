import { postgres } from './postgres.ts';
import { describeConformance } from './suite.ts';

describeConformance([postgres(17, 'sealed')], ['holds']);
