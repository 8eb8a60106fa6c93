import { SECRET_SETTINGS } from '../../engines/names.ts';
import type { Container, EnvFrom, EnvVar } from '../objects/pod.ts';
import { parseQuantity } from '../objects/quantity.ts';

/** What an earlier injection wrote into the sidecar. All else there is the user's, and stays. */
export interface WrittenContainer {
  /** Variables with their plain values; `null`: a reference, or a value that may be secret. */
  readonly env: Readonly<Record<string, string | null>>;
  /** Sources in `envFrom`, as `secret/NAME` or `configMap/NAME`. */
  readonly from: readonly string[];
  /** `limits.memory` and the like. */
  readonly resources: Readonly<Record<string, string>>;
  readonly user?: number;
}

/**
 * The annotation `quiesce.dev/written`. Its keys are annotations, with one exception: `container`. The
 * first release did not record the container; `legacy` means such a record.
 */
export interface Written {
  readonly annotations: Readonly<Record<string, unknown>>;
  readonly container: WrittenContainer | 'legacy' | undefined;
}

export const CONTAINER_KEY = 'container';

export function readWritten(text: string | undefined): Written {
  const parsed = parseObject(text);
  const { [CONTAINER_KEY]: container, ...annotations } = parsed;
  if (isObject(container)) {
    const { env, from, resources, user } = container;
    return {
      annotations,
      container: {
        env: isObject(env) ? (env as Record<string, string | null>) : {},
        from: Array.isArray(from) ? (from as unknown[]).map(String) : [],
        resources: isObject(resources) ? (resources as Record<string, string>) : {},
        ...(typeof user === 'number' ? { user } : {}),
      },
    };
  }
  return { annotations, container: Object.keys(annotations).length > 0 ? 'legacy' : undefined };
}

function parseObject(text: string | undefined): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text ?? '{}');
    return isObject(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/**
 * What of the final container comes from `wanted`: the record for the next injection.
 *
 * @param users names of the variables that the user wrote
 */
export function recordOf(
  final: Container,
  wanted: Container,
  users: ReadonlySet<string>,
): WrittenContainer {
  const wantedEnv = new Map((wanted.env ?? []).map((entry) => [entry.name, entry]));
  const env = (final.env ?? [])
    .filter((entry) => !users.has(entry.name) && isSame(entry, wantedEnv.get(entry.name)))
    .map(({ name, value }) => [name, recordable(name, value) ?? null] as const);
  const sources = new Set((wanted.envFrom ?? []).map(sourceOf));
  const resources = (['requests', 'limits'] as const).flatMap((kind) =>
    Object.entries(final.resources?.[kind] ?? {})
      .filter(([name, given]) => isEqual(given, wanted.resources?.[kind]?.[name]))
      .map(([name, given]) => [`${kind}.${name}`, given] as const),
  );
  const user = wanted.securityContext?.runAsUser;
  return {
    env: Object.fromEntries(env),
    from: (final.envFrom ?? []).map(sourceOf).filter((one) => sources.has(one)),
    resources: Object.fromEntries(resources),
    ...(user !== undefined && final.securityContext?.runAsUser === user ? { user } : {}),
  };
}

function recordable(name: string, value: string | undefined): string | undefined {
  const base = name.replace(/_(?:FILE|DEFAULT)$/, '');
  return SECRET_SETTINGS.includes(base) && !name.endsWith('_FILE') ? undefined : value;
}

/** An API server adds fields to a reference, so only kinds of values are compared there. */
function isSame(entry: EnvVar, wanted: EnvVar | undefined): boolean {
  if (wanted === undefined) return false;
  return wanted.valueFrom === undefined
    ? (entry.value ?? '') === (wanted.value ?? '') && entry.valueFrom === undefined
    : entry.valueFrom !== undefined;
}

export function isEqual(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && parseQuantity(a) === parseQuantity(b);
}

export function sourceOf({ secretRef, configMapRef, prefix = '' }: EnvFrom): string {
  const source = secretRef ? `secret/${secretRef.name}` : `configMap/${configMapRef?.name}`;
  return `${prefix}${source}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
