import type { EngineName } from './names.ts';
import { mongodb } from './mongodb/profile.ts';
import { postgres } from './postgres/profile.ts';
import type { EngineProfile } from './profile.ts';
import { redis } from './redis/profile.ts';

const profiles: Readonly<Record<EngineName, EngineProfile>> = { postgres, redis, mongodb };

/** The profile of an engine's images. Loads no code that connects to a server. */
export function profileOf(name: EngineName): EngineProfile {
  return profiles[name];
}
