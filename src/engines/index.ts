import { BoundedEngine } from './bounded.ts';
import type { EngineModule } from './engine.ts';
import { type EngineName, isEngine } from './names.ts';
import type { RestoreModule } from './restore-module.ts';
import { SealingEngine } from './sealing.ts';
import type { AskModule } from './ask-module.ts';

interface Loaders {
  readonly engine: () => Promise<EngineModule>;
  readonly restore: () => Promise<RestoreModule>;
  /** Answers a user's own question about the data. Absent: the engine has no such language. */
  readonly ask?: () => Promise<AskModule>;
}

/** How to load each engine. Only the configured one is ever imported. */
const engines: Readonly<Record<EngineName, Loaders>> = {
  postgres: {
    engine: () => import('./postgres/index.ts'),
    restore: () => import('./postgres/restore/prepare-restore.ts'),
    ask: () => import('./postgres/verify/ask.ts'),
  },
  redis: {
    engine: () => import('./redis/index.ts'),
    restore: () => import('./redis/restore/prepare-restore.ts'),
  },
  mongodb: {
    engine: () => import('./mongodb/index.ts'),
    restore: () => import('./mongodb/restore/prepare-restore.ts'),
  },
};

/**
 * Loads an engine, bounded in its connections by `BoundedEngine`. `SealingEngine` syncs the files that the
 * engine does not.
 *
 * @throws Error for a name that is not in `ENGINE_NAMES`.
 */
export async function loadEngine(name: string): Promise<EngineModule> {
  if (!isEngine(name)) throw new Error(`no engine is called ${name}`);
  const module = await engines[name].engine();
  return {
    checkSettings: (settings) => module.checkSettings(settings),
    createEngine: (options) =>
      new BoundedEngine(new SealingEngine(module.createEngine(options), options.dataDir)),
  };
}

/** Loads the part that works on a restored copy without a server; `undefined` for an unknown engine. */
export async function loadRestore(name: string): Promise<RestoreModule | undefined> {
  return isEngine(name) ? await engines[name].restore() : undefined;
}

/** Loads the part that answers a user's own question; `undefined`: the engine has none. */
export async function loadAsk(name: string): Promise<AskModule | undefined> {
  return isEngine(name) ? await engines[name].ask?.() : undefined;
}
