import type { z } from 'zod';
import type { Address } from './schema.ts';
import { baseSchema, checkTogether } from './schema.ts';
import type { ConfigIssue, Settings } from './sources.ts';
import { isServiceLink } from './service-links.ts';
import { parseSettings, readSmallFile, resolveDefaults, resolveFiles } from './sources.ts';
import { isEngineSetting } from '../engines/names.ts';
import type { ReplicaMode } from '../engines/engine.ts';
import type { CopyMethod } from '../receipt/receipt.ts';
import type { RestoreCheckLevel } from '../receipt/restore-level.ts';
import { parseRestoreMark, type RestoreMark } from '../receipt/restore-mark.ts';
import { SCAN_VARIABLE } from '../defaults.ts';
import { QuiesceError } from '../errors.ts';
import { distance } from '../lib/command-line/nearest.ts';
import type { LogLevel } from '../defaults.ts';

export type { Address } from './schema.ts';
export type { ConfigIssue, Settings } from './sources.ts';

/** The configuration of the sidecar. Durations are in milliseconds; a `null` address is off. */
export interface Config {
  readonly engine: string;
  /** Where the data is mounted; `undefined`: nothing is written to the volume. */
  readonly dataDir: string | undefined;
  readonly stateDir: string;
  readonly socket: string;
  readonly controlAddr: Address | null;
  readonly metricsAddr: Address | null;
  readonly copy: CopyMethod;
  readonly replica: ReplicaMode;
  /** `undefined`: the engine's default, bounded by `ttlMaxMs`. */
  readonly ttlMs: number | undefined;
  readonly ttlMaxMs: number;
  readonly freezeTimeoutMs: number;
  readonly controlToken: string | undefined;
  readonly app: string | undefined;
  readonly restoreMark: RestoreMark;
  /** How far a restored database is checked after its first start. */
  readonly restoreCheck: RestoreCheckLevel;
  readonly logLevel: LogLevel;
  /** Environment and file, merged, with every `NAME_FILE` resolved. The engine reads its keys from here. */
  readonly settings: Settings;
}

export interface ReadConfigOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The file given with `--config`; the environment overrides it. */
  readonly file?: string | undefined;
  /** The values that QUIESCE_ENGINE accepts. */
  readonly engines: readonly string[];
  /** The engine's own keys. Without it, a file may hold any key with an engine's prefix. */
  readonly engineKeys?: (engine: string) => Promise<readonly string[]> | readonly string[];
  /** The engine's check of its own keys. */
  readonly engineIssues?: (
    engine: string,
    settings: Settings,
  ) => Promise<readonly ConfigIssue[]> | readonly ConfigIssue[];
}

type Schema = ReturnType<typeof baseSchema>;

const SECRET = /PASSWORD|TOKEN|SECRET|_URI$|_URL$/;
const OURS = 'QUIESCE_';
/** The downward API gives an empty value where the pod lacks the label or annotation. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['QUIESCE_RESTORE_MARK']);
/** Set for prepare-restore. The containers of a pod may share one set of variables. */
const READ_ELSEWHERE: ReadonlySet<string> = new Set([SCAN_VARIABLE]);

/**
 * Reads and checks the configuration.
 *
 * @throws QuiesceError CONFIG_INVALID: a single error that lists every problem by the name of its key
 */
export async function readConfig(options: ReadConfigOptions): Promise<Config> {
  const issues: ConfigIssue[] = [];
  const { settings, fromFile } = mergeSources(options, issues);
  const schema = baseSchema(options.engines);
  const known = new Set(Object.keys(schema.shape));
  const own = Object.fromEntries(Object.entries(settings).filter(([name]) => known.has(name)));
  for (const name of Object.keys(settings).filter((name) => name.startsWith(OURS))) {
    if (READ_ELSEWHERE.has(name)) continue;
    if (!known.has(name)) issues.push({ name, message: unknownKey(name, known) });
    else if (settings[name] === '' && !MAY_BE_EMPTY.has(name))
      issues.push({ name, message: 'is empty; leave it out instead' });
  }
  issues.push(...checkValues(schema, own, issues));
  const engine = own['QUIESCE_ENGINE'];
  const engineKnown = engine !== undefined && options.engines.includes(engine);
  const engineKeys = engineKnown ? await options.engineKeys?.(engine) : undefined;
  for (const name of fromFile.filter((name) => !name.startsWith(OURS))) {
    const fits = engineKeys ? engineKeys.includes(name) : isEngineSetting(name);
    if (!fits) issues.push({ name, message: 'unknown key' });
  }
  if (engineKnown) issues.push(...((await options.engineIssues?.(engine, settings)) ?? []));
  if (issues.length > 0) throw invalid(issues);
  return toConfig(schema.parse(own), settings);
}

/** Checks each key alone, so that one bad key hides no other, then the keys together. */
function checkValues(
  schema: Schema,
  own: Settings,
  reported: readonly ConfigIssue[],
): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(schema.shape)) {
    // Skip a key that is empty or whose file could not be read: it has been reported already.
    if (reported.some((one) => one.name === name || one.name === `${name}_FILE`)) continue;
    const parsed = type.safeParse(own[name]);
    if (parsed.success) values[name] = parsed.data;
    else {
      const message = parsed.error.issues[0]?.message ?? 'is not valid';
      issues.push({ name, message: shown(name, own[name]) + message });
    }
  }
  return [...issues, ...checkTogether(values)];
}

function mergeSources(options: ReadConfigOptions, issues: ConfigIssue[]) {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.env)) {
    if (value !== undefined) env[name] = value;
  }
  // Drop all Service links, with or without an engine's prefix, before any name is read as NAME_FILE: a
  // Service called redis with a port called file creates REDIS_SERVICE_PORT_FILE.
  const links = Object.keys(env).filter((name) => isServiceLink(name, env));
  for (const name of links) delete env[name];
  const fromEnv = resolveFiles(resolveDefaults(env), issues);
  let fromFile: Record<string, string> = {};
  if (options.file !== undefined) {
    const text = readSmallFile(options.file);
    if (typeof text === 'string') fromFile = parseSettings(text, issues);
    else issues.push({ name: '--config', message: text.problem });
    // The environment overrides the file, whichever of the two forms each uses.
    for (const name of Object.keys(fromFile)) {
      const base = name.replace(/_FILE$/, '');
      if (fromEnv[base] !== undefined || fromEnv[name] !== undefined) delete fromFile[name];
    }
    fromFile = resolveFiles(fromFile, issues);
  }
  return { settings: { ...fromFile, ...fromEnv }, fromFile: Object.keys(fromFile) };
}

/** The value, for an error message; empty if it is absent or may be a secret. */
function shown(name: string, value: string | undefined): string {
  if (value === undefined || SECRET.test(name)) return '';
  return `${JSON.stringify(value.slice(0, 60))} `;
}

function unknownKey(name: string, known: ReadonlySet<string>): string {
  const near = [...known].find(
    (key) => key.replaceAll('_', '') === name.replaceAll('_', '') || distance(key, name) === 1,
  );
  return near === undefined ? 'unknown key' : `unknown key; did you mean ${near}?`;
}

function invalid(issues: readonly ConfigIssue[]): QuiesceError {
  const list = issues.map(({ name, message }) => `${name}: ${message}`).join('; ');
  const count = issues.length === 1 ? 'one problem' : `${issues.length} problems`;
  const field = issues[0]?.name;
  return new QuiesceError('CONFIG_INVALID', `The configuration has ${count}: ${list}.`, {
    ...(field === undefined ? {} : { field }),
    details: { issues },
  });
}

function toConfig(own: z.output<Schema>, settings: Settings): Config {
  return {
    engine: own.QUIESCE_ENGINE,
    dataDir: own.QUIESCE_DATA_DIR,
    stateDir: own.QUIESCE_STATE_DIR,
    socket: own.QUIESCE_SOCKET,
    controlAddr: own.QUIESCE_CONTROL_ADDR,
    metricsAddr: own.QUIESCE_METRICS_ADDR,
    copy: own.QUIESCE_COPY,
    replica: own.QUIESCE_REPLICA,
    ttlMs: own.QUIESCE_TTL,
    ttlMaxMs: own.QUIESCE_TTL_MAX,
    freezeTimeoutMs: own.QUIESCE_FREEZE_TIMEOUT,
    controlToken: own.QUIESCE_CONTROL_TOKEN,
    app: own.QUIESCE_APP,
    restoreMark: parseRestoreMark(own.QUIESCE_RESTORE_MARK),
    restoreCheck: own.QUIESCE_RESTORE_CHECK,
    logLevel: own.QUIESCE_LOG_LEVEL,
    settings,
  };
}
