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

describe('a guessed database', () => {
  it.each([
    ['registry.acme.example/backup-team/postgres:16', 'postgres'],
    ['ghcr.io/agentic-metrics/mongo:7', 'mongodb'],
    ['registry.example/express/redis:7.2@sha256:00', 'redis'],
    ['registry.redhat.io/rhel9/redis-7:1', 'redis'],
  ])('%s is recognised, whatever the name of its registry', (image, engine) => {
    expect(annotationsOf(pod({ image }))).toMatchObject({ 'quiesce.dev/engine': engine });
  });

  it('is recognised by image and port together, whatever the name of its container', () => {
    const ports = [{ containerPort: 5432 }];
    const database = { name: 'metrics-store', image: 'postgres:16', ports };
    expect(annotationsOf(pod(database))).toMatchObject({
      'quiesce.dev/container': 'metrics-store',
    });
    // Without a port it may be a container that dumps the database next to it.
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
  ])('is never %s, which only speaks the protocol on port %i', (image, containerPort) => {
    const ports = [{ containerPort }];
    expect(inject(pod({ image, ports }), CONFIG)).toMatchObject({
      outcome: 'invalid',
      issues: [{ field: 'quiesce.dev/engine' }],
    });
    expect(annotationsOf(pod({ name: 'proxy', image, ports }, { image: 'redis:7' }))).toMatchObject(
      { 'quiesce.dev/container': 'db' },
    );
  });

  it('is refused if one container looks like two engines, and the issue names both', () => {
    const ports = [{ containerPort: 5432 }, { containerPort: 6379 }];
    const result = inject(
      pod({ image: 'registry.example/team/data:1', ports, volumeMounts: [] }),
      CONFIG,
    );
    const message = 'must be set, since db looks equally like postgres and redis';
    expect(result).toMatchObject({ issues: [{ field: 'quiesce.dev/engine', message }] });
  });

  it('is never a Sentinel started by a shell, nor an arbiter', () => {
    const command = ['sh', '-c', 'exec redis-server /data/sentinel.conf --sentinel'];
    expect(annotationsOf(pod({ image: 'redis:7.2', command }))).toBeUndefined();
    const env = [{ name: 'MONGODB_REPLICA_SET_MODE', value: 'arbiter' }];
    expect(annotationsOf(pod({ image: 'bitnamilegacy/mongodb:8.0', env }))).toBeUndefined();
  });
});
