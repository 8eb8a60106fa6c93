import type { FieldIssue } from '../objects/names.ts';
import { LONGEST_MS } from '../../defaults.ts';
import { parseDuration } from '../../lib/duration.ts';
import { COPY_METHODS, type CopyMethod } from '../../receipt/receipt.ts';
import { ENGINE_NAMES, type EngineName, isEngine } from '../../engines/names.ts';
import { readApplication } from './application.ts';
import { ANNOTATIONS } from '../objects/names.ts';
import { unknownAnnotations } from './unknown.ts';

/** What a pod's annotations ask for; `undefined` where they say nothing. */
export interface PodSettings {
  readonly engine: EngineName | undefined;
  readonly container: string | undefined;
  readonly credentialsSecret: string | undefined;
  readonly copy: CopyMethod | undefined;
  readonly ttlMs: number | undefined;
  readonly hookTimeoutMs: number | undefined;
}

type Annotations = Readonly<Record<string, string>>;

/** A hook that is shorter leaves the freeze no time before Velero gives up. */
const SHORTEST_HOOK_MS = 2_000;
const LONGEST_SECRET_NAME = 253;

/** What the annotations of a pod say, and what is wrong with them. */
export interface ReadSettings {
  readonly settings: PodSettings;
  /** What the sidecar needs and cannot follow: none is added. */
  readonly issues: readonly FieldIssue[];
  /** What is told and left unread: the sidecar does not depend on it. */
  readonly ignored: readonly FieldIssue[];
}

/** Reads the annotations; everything wrong is named, an unknown `quiesce.dev/` key, too. */
export function readSettings(annotations: Annotations): ReadSettings {
  const reader = new Reader(annotations);
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
      { must: 'must be the name of a Secret', longest: LONGEST_SECRET_NAME },
    ),
    copy: reader.copy(),
    ttlMs: reader.duration(ANNOTATIONS.ttl, 1),
    hookTimeoutMs: reader.duration(ANNOTATIONS.hookTimeout, SHORTEST_HOOK_MS),
  };
  const unknown = unknownAnnotations(Object.keys(annotations));
  const told = (concerns: boolean): FieldIssue[] =>
    unknown
      .filter(({ concernsSidecar }) => concernsSidecar === concerns)
      .map(({ key, meant }) => ({ field: key, message: unknownText(meant) }));
  return {
    settings,
    issues: [...reader.issues, ...told(true)],
    ignored: [...readApplication(annotations), ...told(false)],
  };
}

function unknownText(meant: string | undefined): string {
  const text = 'is not an annotation of quiesce';
  return meant === undefined ? text : `${text}; did you mean ${meant}?`;
}

class Reader {
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
    if (value === '') this.issue(name, 'is empty; leave it out instead');
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

  copy(): CopyMethod | undefined {
    const value = this.text(ANNOTATIONS.copy);
    const found = COPY_METHODS.find((method) => method === value);
    if (value !== undefined && found === undefined) {
      this.issue(ANNOTATIONS.copy, `must be one of ${COPY_METHODS.join(', ')}`);
    }
    return found;
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
