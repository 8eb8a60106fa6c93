import {
  type App,
  type Edit,
  inNamespace,
  mongodb,
  oneMember,
  postgres,
  redis,
} from '../../apps/index.ts';

/** PostgreSQL, Redis and MongoDB in one namespace. */
export function threeIn(namespace: string, ...edits: readonly Edit[]): readonly App[] {
  const where = inNamespace(namespace);
  return [postgres(where, ...edits), redis(where, ...edits), mongodb(where, oneMember, ...edits)];
}

/** The flags of a snapshot that proves nothing about time: the machine may be busy. */
export function patient(namespace: string): readonly string[] {
  return ['-n', namespace, '--freeze-timeout', '2m', '--ttl', '4m'];
}
