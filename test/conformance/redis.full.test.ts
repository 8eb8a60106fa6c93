import { FURTHER_SERVERS } from '../support/redis.ts';
import { redis } from './redis.ts';
import { describeConformance } from './suite.ts';

describeConformance([
  redis('redis-server', 'AOF everysec'),
  redis('redis-server', 'RDB only'),
  ...FURTHER_SERVERS.map((binary) => redis(binary, 'AOF everysec')),
  ...FURTHER_SERVERS.map((binary) => redis(binary, 'RDB only')),
]);
