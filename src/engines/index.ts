import { BoundedEngine } from './bounded.ts';
import type { Engine, ReplicaMode, SettingIssue } from './engine.ts';
import type { RestoreModule } from './restore-module.ts';

interface EngineOptions {
  /** The engine's own settings, with `NAME_FILE` already resolved. */
  readonly settings: Readonly<Record<string, string | undefined>>;
  readonly dataDir: string | undefined;
  /** QUIESCE_REPLICA; an engine without replicas ignores it. */
  readonly replica?: ReplicaMode;
  /** Called with what a replica has taken to catch up with its primary, also when it did not. */
  readonly onReplicaWait?: (seconds: number) => void;
}

interface EngineModule {
  checkSettings(settings: Readonly<Record<string, string | undefined>>): readonly SettingIssue[];
  createEngine(options: EngineOptions): Engine;
}

/** Name → how to load it: only the configured engine is ever imported. */
const engines: Readonly<Record<string, () => Promise<EngineModule>>> = {
  postgres: () => import('./postgres/index.ts'),
  redis: () => import('./redis/index.ts'),
  mongodb: () => import('./mongodb/index.ts'),
};

const restores: Readonly<Record<string, () => Promise<RestoreModule>>> = {
  postgres: () => import('./postgres/restore/prepare-restore.ts'),
  redis: () => import('./redis/restore/prepare-restore.ts'),
  mongodb: () => import('./mongodb/restore/prepare-restore.ts'),
};

export const ENGINE_NAMES: readonly string[] = Object.keys(engines);

/**
 * An engine that takes no more of a database's connections than `BoundedEngine` says.
 *
 * @throws Error for a name that is not in `ENGINE_NAMES`.
 */
export async function loadEngine(name: string): Promise<EngineModule> {
  const load = engines[name];
  if (!load) throw new Error(`no engine is called ${name}`);
  const module = await load();
  return {
    checkSettings: (settings) => module.checkSettings(settings),
    createEngine: (options) => new BoundedEngine(module.createEngine(options)),
  };
}

/** The part of an engine that works on a restored copy, without a server; `undefined`: it has none. */
export async function loadRestore(name: string): Promise<RestoreModule | undefined> {
  // The name is one that a receipt gives: it may be that of a property of every object.
  return Object.hasOwn(restores, name) ? await restores[name]?.() : undefined;
}
