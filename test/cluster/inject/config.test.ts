import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Container } from '../../../src/cluster/objects/pod.ts';
import { readConfig } from '../../../src/config/config.ts';
import { loadEngine } from '../../../src/engines/index.ts';
import { ENGINE_NAMES } from '../../../src/engines/names.ts';
import { CONFIG, goldenNames, goldenPod, postgresPod } from '../../support/pods.ts';

const dir = mkdtempSync(join(tmpdir(), 'quiesce-env-'));
const secretFile = join(dir, 'secret');
writeFileSync(secretFile, 'from-file\n');
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The environment as a kubelet builds it: envFrom first, then references to earlier variables. */
function resolve(container: Container, from: Record<string, string>, optional: boolean) {
  const env: Record<string, string> = container.envFrom ? { ...from } : {};
  for (const { name, value, valueFrom } of container.env ?? []) {
    const ref = valueFrom?.['secretKeyRef'] as { optional?: boolean } | undefined;
    if (ref?.optional === true && !optional) continue;
    const text = valueFrom ? 'from-reference' : (value ?? '');
    const found = text.replaceAll(/\$\(([\w.-]+)\)/g, (whole, key: string) => env[key] ?? whole);
    env[name] = name.endsWith('_FILE') ? secretFile : found;
  }
  return env;
}

const read = (env: Record<string, string>) =>
  readConfig({
    env,
    engines: ENGINE_NAMES,
    engineIssues: async (engine, settings) => (await loadEngine(engine)).checkSettings(settings),
  });

function sidecarOf(pod: Parameters<typeof inject>[0]): Container {
  const result = inject(pod, CONFIG);
  const sidecar = result.outcome === 'injected' ? result.pod.spec?.containers?.at(-1) : undefined;
  if (!sidecar) throw new Error(JSON.stringify(result));
  return sidecar;
}

const CLUSTER_ENV = {
  POSTGRES_USER: 'shop',
  POSTGRES_PASSWORD: 'p',
  MONGODB_CLUSTER_ADMIN_USER: 'admin',
  MONGODB_CLUSTER_ADMIN_PASSWORD: 'p',
};

describe.each(goldenNames)('the sidecar of %s', (name) => {
  // A sidecar that refuses its configuration exits, and an exited container takes its pod out of the Service.
  it('accepts its configuration, whether or not the cluster has the Secrets it refers to', async () => {
    const sidecar = sidecarOf(goldenPod(name));
    for (const from of [CLUSTER_ENV, {}]) {
      for (const optional of [true, false]) {
        await expect(read(resolve(sidecar, from, optional))).resolves.toBeDefined();
      }
    }
  });
});

describe('the credentials of the sidecar', () => {
  it('come from a ConfigMap or Secret that only the kubelet reads', async () => {
    const { settings } = await read(
      resolve(sidecarOf(goldenPod('official-postgres-envfrom')), CLUSTER_ENV, true),
    );
    expect(settings).toMatchObject({ PGUSER: 'shop', PGPASSWORD: 'p', PGDATABASE: 'postgres' });
  });

  it('fall back to the image’s own user if that is missing', async () => {
    const { settings } = await read(
      resolve(sidecarOf(goldenPod('official-postgres-envfrom')), {}, true),
    );
    expect(settings['PGUSER']).toBe('postgres');
    expect(settings).not.toHaveProperty('PGPASSWORD');
  });

  it('are read from a named Secret in both forms', async () => {
    const sidecar = sidecarOf(
      postgresPod({ annotations: { 'quiesce.dev/credentials-secret': 's' } }),
    );
    const own = await read(resolve(sidecar, { PGUSER: 'backup', PGDATABASE: 'shop' }, false));
    expect(own.settings).toMatchObject({ PGUSER: 'backup', PGDATABASE: 'shop' });
    const basic = await read(resolve(sidecar, { username: 'x', password: 'y' }, true));
    expect(basic.settings).toMatchObject({ PGUSER: 'from-reference', PGDATABASE: 'postgres' });
    const missing = await read(resolve(sidecar, {}, false));
    expect(missing.settings).toMatchObject({ PGUSER: 'postgres', PGDATABASE: 'postgres' });
  });

  it.each([
    ['redis:7', 'REDIS_URL', 'redis://u:p@127.0.0.1:6379'],
    ['mongo:7', 'MONGODB_URI', 'mongodb://u:p@127.0.0.1:27017/'],
    ['postgres:17', 'PGHOST', 'localhost'],
  ])('for %s may be a whole address: %s', async (image, name, value) => {
    const pod = postgresPod({
      container: { image, ports: [], env: [] },
      annotations: { 'quiesce.dev/credentials-secret': 's' },
    });
    const { settings } = await read(resolve(sidecarOf(pod), { [name]: value }, false));
    expect(settings[name]).toBe(value);
  });
});
