import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import type { Container, Pod } from '../../../src/cluster/objects/pod.ts';
import { CONFIG } from '../../support/pods.ts';

function pod(...containers: readonly Partial<Container>[]): Pod {
  return {
    metadata: { name: 'db-0', labels: { 'quiesce.dev/inject': 'true' } },
    spec: {
      containers: containers.map((one) => ({
        name: 'db',
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
        ...one,
      })),
    },
  };
}

const annotationsOf = (given: Pod) => {
  const result = inject(given, CONFIG);
  return result.outcome === 'injected' ? result.pod.metadata?.annotations : undefined;
};

describe('what is taken for a database', () => {
  it.each([
    ['registry.acme.example/backup-team/postgres:16', 'postgres'],
    ['ghcr.io/agentic-metrics/mongo:7', 'mongodb'],
    ['registry.example/express/redis:7.2@sha256:00', 'redis'],
    ['registry.redhat.io/rhel9/redis-7:1', 'redis'],
  ])('is %s, whatever its registry is called', (image, engine) => {
    expect(annotationsOf(pod({ image }))).toMatchObject({ 'quiesce.dev/engine': engine });
  });

  it('is told by image and port together, whatever its container is called', () => {
    const ports = [{ containerPort: 5432 }];
    const database = { name: 'metrics-store', image: 'postgres:16', ports };
    expect(annotationsOf(pod(database))).toMatchObject({
      'quiesce.dev/container': 'metrics-store',
    });
    // Without a port it may be what dumps the database beside it.
    expect(annotationsOf(pod({ name: 'backup', image: 'postgres:16' }))).toBeUndefined();
  });

  it.each([
    ['docker.dragonflydb.io/dragonflydb/dragonfly:v1.21.2', 6379],
    ['eqalpha/keydb:alpine_x86_64_v6.3.4', 6379],
    ['ghcr.io/microsoft/garnet:1.0', 6379],
    ['haproxy:2.9', 6379],
    ['gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.11', 5432],
    ['crate:5.8', 5432],
    ['ghcr.io/ferretdb/ferretdb:1.24', 27017],
  ])('is not %s, which only speaks as one on port %i', (image, containerPort) => {
    const ports = [{ containerPort }];
    expect(inject(pod({ image, ports }), CONFIG)).toMatchObject({
      outcome: 'invalid',
      issues: [{ field: 'quiesce.dev/engine' }],
    });
    expect(annotationsOf(pod({ name: 'proxy', image, ports }, { image: 'redis:7' }))).toMatchObject(
      { 'quiesce.dev/container': 'db' },
    );
  });

  it('is no Sentinel that a shell starts, and no arbiter', () => {
    const command = ['sh', '-c', 'exec redis-server /data/sentinel.conf --sentinel'];
    expect(annotationsOf(pod({ image: 'redis:7.2', command }))).toBeUndefined();
    const env = [{ name: 'MONGODB_REPLICA_SET_MODE', value: 'arbiter' }];
    expect(annotationsOf(pod({ image: 'bitnamilegacy/mongodb:8.0', env }))).toBeUndefined();
  });
});
