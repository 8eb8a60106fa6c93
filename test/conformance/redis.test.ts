import { redis } from './redis.ts';
import { describeConformance } from './suite.ts';

describeConformance([redis('redis-server', 'AOF everysec'), redis('redis-server', 'RDB only')]);
