import type { FieldIssue } from '../objects/names.ts';
import { LOG_LEVELS, type LogLevel, LONGEST_MS, SCAN_FULL } from '../../defaults.ts';
import { durationProblem, parseDuration } from '../../lib/duration.ts';
import { COPY_METHODS, type CopyMethod } from '../../receipt/receipt.ts';
import { RESTORE_CHECKS, type RestoreCheckLevel } from '../../receipt/restore-level.ts';
import { REPLICA_MODES, type ReplicaMode } from '../../engines/engine.ts';
import { ENGINE_NAMES, type EngineName, isEngine } from '../../engines/names.ts';
import { readApplication } from './application.ts';
import { ANNOTATIONS, CONTAINER } from '../objects/names.ts';
import type { Pod } from '../objects/pod.ts';
import { type Earlier, isOurs } from './overlay-env.ts';
import { unknownAnnotations } from './unknown.ts';

/** The settings in a pod's annotations; `undefined`: not set. */
export interface PodSettings {
  readonly engine: EngineName | undefined;
  readonly container: string | undefined;
  readonly credentialsSecret: string | undefined;
  readonly copy: CopyMethod | undefined;
  readonly ttlMs: number | undefined;
  readonly hookTimeoutMs: number | undefined;
  readonly restoreCheck: RestoreCheckLevel | undefined;
  readonly restoreRequiresReceipt: boolean;
  readonly restoreName: string | undefined;
  /** As given: a duration, or `full`. */
  readonly restoreScan: string | undefined;
  readonly replica: ReplicaMode | undefined;
  readonly dataDir: string | undefined;
  readonly app: string | undefined;
  readonly logLevel: LogLevel | undefined;
}

type Annotations = Readonly<Record<string, string>>;

/** A shorter hook leaves no time for the freeze before Velero gives up. */
const MIN_HOOK_TIMEOUT_MS = 2_000;
const MAX_SECRET_NAME_LENGTH = 253;

/** The settings of a pod, and the problems of its annotations. */
export interface ReadSettings {
  readonly settings: PodSettings;
  /** Problems of annotations that the sidecar needs. A pod with one gets no sidecar. */
  readonly issues: readonly FieldIssue[];
  /** Problems of annotations that the sidecar does not need. They are reported, the annotations ignored. */
  readonly ignored: readonly FieldIssue[];
}

/** Reads the annotations and collects every problem, unknown `quiesce.dev/` keys included. */
export function readSettings(annotations: Annotations): ReadSettings {
  const reader = new AnnotationReader(annotations);
  const engine = reader.text(ANNOTATIONS.engine);
  if (engine !== undefined && !isEngine(engine)) {
    reader.issue(ANNOTATIONS.engine, `must be one of ${ENGINE_NAMES.join(', ')}`);
  }
  const settings: PodSettings = {
    engine: engine !== undefined && isEngine(engine) ? engine : undefined,
    container: reader.matching(ANNOTATIONS.container, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, {
      must: 'must be the name of a container',
    }),
    credentialsSecret: reader.matching(
      ANNOTATIONS.credentialsSecret,
      /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/,
      { must: 'must be the name of a Secret', longest: MAX_SECRET_NAME_LENGTH },
    ),
    copy: reader.oneOf(ANNOTATIONS.copy, COPY_METHODS),
    restoreCheck: reader.oneOf(ANNOTATIONS.restoreCheck, RESTORE_CHECKS),
    restoreRequiresReceipt:
      reader.oneOf(ANNOTATIONS.restoreRequiresReceipt, ['true', 'false']) === 'true',
    ttlMs: reader.duration(ANNOTATIONS.ttl, 1),
    hookTimeoutMs: reader.duration(ANNOTATIONS.hookTimeout, MIN_HOOK_TIMEOUT_MS),
    restoreName: reader.matching(
      ANNOTATIONS.restoreName,
      /^[A-Za-z0-9]([-A-Za-z0-9._]{0,126}[A-Za-z0-9])?$/,
      { must: 'must be a name of at most 128 letters, digits, -, . and _' },
    ),
    restoreScan: reader.scan(),
    replica: reader.oneOf(ANNOTATIONS.replica, REPLICA_MODES),
    dataDir: reader.matching(ANNOTATIONS.dataDir, /^\/[^\0]*$/, {
      must: 'must be an absolute path in the database container',
    }),
    app: reader.matching(ANNOTATIONS.app, /^[\u0020-\u007E]{1,128}$/, {
      must: 'must be 1–128 printable ASCII characters',
    }),
    logLevel: reader.oneOf(ANNOTATIONS.logLevel, LOG_LEVELS),
  };
  const unknown = unknownAnnotations(Object.keys(annotations));
  const unknownIssues = (concerns: boolean): FieldIssue[] =>
    unknown
      .filter(({ concernsSidecar }) => concernsSidecar === concerns)
      .map(({ key, meant }) => ({ field: key, message: unknownText(meant) }));
  return {
    settings,
    issues: [...reader.issues, ...unknownIssues(true)],
    ignored: [...readApplication(annotations), ...unknownIssues(false)],
  };
}

/**
 * The settings of the pod, with those that its owner has written as variables of the sidecar: what hooks and
 * guesses depend on must agree with them.
 */
export function withVariables(settings: PodSettings, pod: Pod, written: Earlier): PodSettings {
  const sidecar = pod.spec?.containers?.find(({ name }) => name === CONTAINER);
  const plain = (name: string): string | undefined => {
    const entry = sidecar?.env?.find((one) => one.name === name);
    return entry === undefined || isOurs(entry, written) ? undefined : entry.value;
  };
  const engine = plain('QUIESCE_ENGINE') ?? '';
  const copy = COPY_METHODS.find((one) => one === plain('QUIESCE_COPY'));
  const dataDir = plain('QUIESCE_DATA_DIR');
  return {
    ...settings,
    engine: settings.engine ?? (isEngine(engine) ? engine : undefined),
    copy: copy ?? settings.copy,
    dataDir: dataDir?.startsWith('/') === true ? dataDir : settings.dataDir,
  };
}

function unknownText(meant: string | undefined): string {
  const text = 'is not an annotation of quiesce';
  return meant === undefined ? text : `${text}; did you mean ${meant}?`;
}

class AnnotationReader {
  readonly issues: FieldIssue[] = [];
  readonly #annotations: Annotations;

  constructor(annotations: Annotations) {
    this.#annotations = annotations;
  }

  issue(field: string, message: string): void {
    this.issues.push({ field, message });
  }

  text(name: string): string | undefined {
    const value = this.#annotations[name];
    if (value === '') this.issue(name, 'is empty; remove it instead');
    return value === '' ? undefined : value;
  }

  matching(
    name: string,
    pattern: RegExp,
    { must, longest = Number.MAX_SAFE_INTEGER }: { must: string; longest?: number },
  ): string | undefined {
    const value = this.text(name);
    if (value === undefined || (pattern.test(value) && value.length <= longest)) return value;
    this.issue(name, must);
    return undefined;
  }

  oneOf<const T extends string>(name: string, values: readonly T[]): T | undefined {
    const value = this.text(name);
    const found = values.find((one) => one === value);
    if (value !== undefined && found === undefined) {
      this.issue(name, `must be one of ${values.join(', ')}`);
    }
    return found;
  }

  scan(): string | undefined {
    const value = this.text(ANNOTATIONS.restoreScan);
    const problem = value === undefined || value === SCAN_FULL ? undefined : durationProblem(value);
    if (problem === undefined) return value;
    this.issue(ANNOTATIONS.restoreScan, `${problem}, or ${SCAN_FULL}`);
    return undefined;
  }

  duration(name: string, shortest: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const ms = parseDuration(value);
    if (ms !== undefined && ms >= shortest && ms <= LONGEST_MS) return ms;
    const from = shortest >= 1_000 ? `${shortest / 1_000}s` : `${shortest}ms`;
    this.issue(name, `must be a duration with a unit, from ${from} to 24h, such as 30s or 10m`);
    return undefined;
  }
}
