import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { INJECT_DEFAULTS, type InjectConfig } from '../../src/cluster/inject/options.ts';
import type { Operation } from '../../src/cluster/objects/json-patch.ts';
import { keysOf } from '../../src/cluster/objects/json-patch.ts';
import type { Pod } from '../../src/cluster/objects/pod.ts';

/** Pods that people really run; each file states its source. */
export const GOLDEN = resolve('test/golden/inject');

export const CONFIG: InjectConfig = { ...INJECT_DEFAULTS, image: 'registry.example/quiesce:1.0.0' };

export const goldenNames: readonly string[] = readdirSync(GOLDEN)
  .filter((name) => name.endsWith('.yaml') && !name.endsWith('.patch.yaml'))
  .map((name) => basename(name, '.yaml'));

export function goldenPod(name: string): Pod {
  // As kubectl reads it: 0755 is octal.
  return parse(readFileSync(join(GOLDEN, `${name}.yaml`), 'utf8'), { version: '1.1' }) as Pod;
}

/** A pod of the official PostgreSQL image, with the changes of a test. */
export function postgresPod(change: {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  spec?: object;
  container?: object;
}): Pod {
  return {
    metadata: {
      name: 'db-0',
      labels: { app: 'db', 'quiesce.dev/inject': 'true', ...change.labels },
      ...(change.annotations ? { annotations: change.annotations } : {}),
    },
    spec: {
      securityContext: { fsGroup: 999 },
      containers: [
        {
          name: 'postgres',
          image: 'postgres:17',
          ports: [{ containerPort: 5432 }],
          env: [
            {
              name: 'POSTGRES_PASSWORD',
              valueFrom: { secretKeyRef: { name: 'db', key: 'password' } },
            },
          ],
          volumeMounts: [{ name: 'data', mountPath: '/var/lib/postgresql/data' }],
          ...change.container,
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }],
      ...change.spec,
    },
  };
}

/** Applies a JSON Patch by RFC 6902, and refuses what an API server refuses. */
export function applyPatch(document: unknown, patch: readonly Operation[]): unknown {
  const result = structuredClone(document) as Record<string, unknown>;
  for (const operation of patch) {
    const keys = keysOf(operation.path);
    const last = keys.at(-1) ?? '';
    let parent: unknown = result;
    for (const key of keys.slice(0, -1)) parent = (parent as Record<string, unknown>)[key];
    if (typeof parent !== 'object' || parent === null)
      throw new Error(`no parent: ${operation.path}`);
    apply(parent as Record<string, unknown>, last, operation);
  }
  return result;
}

function apply(parent: Record<string, unknown>, key: string, operation: Operation): void {
  const list = Array.isArray(parent) ? (parent as unknown[]) : undefined;
  const exists = Object.hasOwn(parent, key);
  if (operation.op !== 'add' && !exists) throw new Error(`nothing there: ${operation.path}`);
  const value = 'value' in operation ? structuredClone(operation.value) : undefined;
  if (operation.op === 'remove') {
    if (list) list.splice(Number(key), 1);
    else delete parent[key];
  } else if (list && operation.op === 'add') {
    if (key === '-') list.push(value);
    else list.splice(Number(key), 0, value);
  } else {
    parent[key] = value;
  }
}
