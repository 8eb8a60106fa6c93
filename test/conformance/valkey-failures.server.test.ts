import { redis } from './redis.ts';
import { describeConformance } from './suite.ts';

describeConformance([redis('valkey-server', 'AOF always')], ['failures']);
