import { mongodb } from './mongodb.ts';
import { postgres } from './postgres.ts';
import type { EngineName, EngineProfile } from './profile.ts';
import { redis } from './redis.ts';

const profiles: Readonly<Record<EngineName, EngineProfile>> = { postgres, redis, mongodb };

/** The engines that can be injected, by the names of QUIESCE_ENGINE. */
export const ENGINES = Object.keys(profiles) as EngineName[];

export function isEngine(name: string): name is EngineName {
  return Object.hasOwn(profiles, name);
}

export function profileOf(name: EngineName): EngineProfile {
  return profiles[name];
}
