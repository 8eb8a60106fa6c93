import type { EngineName } from './names.ts';
import { mongodb } from './mongodb/profile.ts';
import { postgres } from './postgres/profile.ts';
import type { EngineProfile } from './profile.ts';
import { redis } from './redis/profile.ts';

const profiles: Readonly<Record<EngineName, EngineProfile>> = { postgres, redis, mongodb };

/** What an engine knows of its images; without anything that reaches a server. */
export function profileOf(name: EngineName): EngineProfile {
  return profiles[name];
}
