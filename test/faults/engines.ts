import type { FaultEngine } from './engine.ts';

/** Name → how to load it. */
const engines: Readonly<Record<string, () => Promise<{ readonly engine: FaultEngine }>>> = {
  mongodb: () => import('./mongodb/index.ts'),
  postgres: () => import('./postgres/index.ts'),
  redis: () => import('./redis/index.ts'),
};

/** @throws Error that lists the known engines */
export async function loadFaultEngine(name: string): Promise<FaultEngine> {
  const load = engines[name];
  if (!load) throw new Error(`--engine: must be one of ${Object.keys(engines).join(', ')}`);
  return (await load()).engine;
}
