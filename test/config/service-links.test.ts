import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config/config.ts';
import { baseSchema } from '../../src/config/schema.ts';
import { loadEngine } from '../../src/engines/index.ts';
import { ENGINE_NAMES } from '../../src/engines/names.ts';
import type { QuiesceError } from '../../src/errors.ts';

const dir = mkdtempSync(join(tmpdir(), 'quiesce-links-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const secret = join(dir, 'secret');
writeFileSync(secret, 'a1b2c3\n');
const port = join(dir, 'port');
writeFileSync(port, '6380\n');

type Env = Readonly<Record<string, string>>;

interface Service {
  readonly name: string;
  readonly ip: string;
  readonly ports: readonly { port: number; protocol: string; name: string }[];
}

/** The variables that the kubelet sets: FromServices and makeLinkVariables in Kubernetes' pkg/kubelet/envvars. */
function linksOf({ name, ip, ports }: Service): Env {
  const upper = (text: string): string => text.toUpperCase().replaceAll('-', '_');
  const base = upper(name);
  const links: Record<string, string> = { [`${base}_SERVICE_HOST`]: ip };
  for (const [index, { port, protocol, name: portName }] of ports.entries()) {
    const url = `${protocol.toLowerCase()}://${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
    if (index === 0) {
      links[`${base}_SERVICE_PORT`] = String(port);
      links[`${base}_PORT`] = url;
    }
    if (portName !== '') links[`${base}_SERVICE_PORT_${upper(portName)}`] = String(port);
    const link = `${base}_PORT_${port}_${protocol}`;
    Object.assign(links, { [link]: url, [`${link}_PROTO`]: protocol.toLowerCase() });
    Object.assign(links, { [`${link}_PORT`]: String(port), [`${link}_ADDR`]: ip });
  }
  return links;
}

const read = (env: Env) =>
  readConfig({
    env,
    engines: ENGINE_NAMES,
    engineIssues: async (engine, settings) => (await loadEngine(engine)).checkSettings(settings),
  });

const OURS: Env = {
  QUIESCE_DATA_DIR: '/data',
  QUIESCE_STATE_DIR: '/state',
  QUIESCE_SOCKET: '/tmp/s',
  QUIESCE_CONTROL_ADDR: '127.0.0.1:8096',
  QUIESCE_METRICS_ADDR: '0.0.0.0:9096',
  QUIESCE_COPY: 'snapshot',
  QUIESCE_REPLICA: 'run',
  QUIESCE_TTL: '90s',
  QUIESCE_TTL_MAX: '2h',
  QUIESCE_FREEZE_TIMEOUT: '20s',
  QUIESCE_CONTROL_TOKEN_FILE: secret,
  QUIESCE_APP: '10.0.0.1',
  QUIESCE_LOG_LEVEL: 'debug',
};

const REDIS: Env = { QUIESCE_ENGINE: 'redis', REDIS_HOST: '10.0.0.9', REDIS_PASSWORD_FILE: secret };
const configurations: readonly Env[] = [
  { ...OURS, QUIESCE_ENGINE: 'postgres', PGHOST: '10.0.0.9', PGPORT: '5433', PGUSER: 'app' },
  { QUIESCE_ENGINE: 'postgres', PGUSER_DEFAULT: 'postgres', PGPASSWORD_FILE: secret, PGPORT: '1' },
  { ...REDIS, ...OURS, REDIS_PORT: '6380', REDIS_TLS: 'true', REDIS_TLS_SERVERNAME: 'db' },
  { ...REDIS, REDIS_PORT_DEFAULT: '6380' },
  { QUIESCE_ENGINE: 'redis', REDIS_URL_DEFAULT: 'redis://127.0.0.1:6381' },
  { QUIESCE_ENGINE: 'mongodb', MONGODB_URI: 'mongodb://127.0.0.1:27018/' },
  { QUIESCE_ENGINE: 'mongodb', MONGODB_USERNAME: 'me', MONGODB_PASSWORD_FILE: secret },
];

/** The names of all settings as names of Services: `quiesce-metrics-addr`, `redis-port`, `pghost`. */
const settings = [
  ...Object.keys(baseSchema(ENGINE_NAMES).shape),
  ...configurations.flatMap((one) => Object.keys(one)),
].map((name) => name.toLowerCase().replaceAll('_', '-'));
const words = fc.constantFrom(
  'quiesce',
  'redis',
  'mongodb',
  'pg',
  'port',
  'service',
  'host',
  'tcp',
  '9095',
  'file',
  'default',
  'addr',
  'proto',
  'x2',
  ...settings,
);
const label = fc
  .array(words, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('-').slice(0, 63).replace(/-$/, ''));
const service: fc.Arbitrary<Service> = fc.record({
  name: fc.oneof(label, fc.constantFrom('quiesce', 'redis', 'mongodb', 'pg', ...settings)),
  ip: fc.oneof(fc.ipV4(), fc.ipV6()),
  ports: fc.array(
    fc.record({
      port: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
      name: fc.oneof(fc.constant(''), label),
    }),
    { minLength: 1, maxLength: 3 },
  ),
});

describe('the variables of Services', () => {
  it('change nothing, whatever the names of the Services and their ports', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...configurations),
        fc.array(service, { minLength: 1, maxLength: 4 }),
        async (own, services) => {
          // A variable of the pod itself overrides a link of the same name.
          const env = { ...Object.assign({}, ...services.map(linksOf)), ...own } as Env;
          expect(await read(env)).toEqual(await read(own));
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['redis', 'file', { ...REDIS }],
    ['redis', '', { ...REDIS, REDIS_PORT_FILE: port }],
    ['redis', '', { ...REDIS, REDIS_PORT_DEFAULT: '6380' }],
    ['quiesce', 'file', { ...REDIS }],
    ['quiesce-state-dir-file', 'default', { ...REDIS }],
    ['quiesce-port-80-tcp', 'port-80-tcp-addr', { ...REDIS }],
    ['mongodb', 'file', { QUIESCE_ENGINE: 'mongodb' }],
  ])('of a Service %s with a port %j are not settings', async (name, portName, own: Env) => {
    const ports = [{ port: 9095, protocol: 'TCP', name: portName }];
    const links = linksOf({ name, ip: '10.96.0.7', ports });
    expect(await read({ ...links, ...own })).toEqual(await read(own));
  });

  it.each([
    ['QUIESCE_PORT', '8080'],
    ['QUIESCE_PORT', 'tcp://db:5432'],
    ['QUIESCE_METRICS_PORT', '9095'],
    ['QUIESCE_SERVICE_HOST', 'db'],
    ['QUIESCE_METRICS_SERVICE_PORT', '9095'],
    ['QUIESCE_SERVICE_PORT', 'http'],
    ['QUIESCE_PORT_9095_TCP', 'udp://10.96.0.7:9095'],
    ['QUIESCE_PORT_9095_TCP_PORT', '9096'],
    ['QUIESCE_PORT_9095_TCP_PROTO', 'udp'],
    ['QUIESCE_METRICS_ADDRESS', '10.96.0.7'],
  ])('do not hide that %s=%s is a mistake', async (name, value) => {
    const ports = [{ port: 9095, protocol: 'TCP', name: 'http' }];
    for (const links of [{}, linksOf({ name: 'quiesce', ip: '10.96.0.7', ports })]) {
      const error = await read({ ...links, ...REDIS, [name]: value }).catch((e: unknown) => e);
      expect((error as QuiesceError).message).toContain(`has one problem: ${name}: unknown key`);
    }
  });
});
