import type { RestoreLevel } from '../../receipt/restore-level.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { type KubeObject, namespaceOf, refOf, refText } from '../objects/kube-object.ts';
import type { Cause } from './state.ts';

/** What a sidecar says of the restore that made its data; `null`: it knows of none. */
export interface RestoreSaid {
  readonly id: string | null;
  readonly level: RestoreLevel;
  /** `null`: not judged yet. */
  readonly verified: boolean | null;
  readonly message: string;
}

export type SidecarSaid =
  | { readonly restore: RestoreSaid | null }
  | {
      readonly problem: { readonly code: string; readonly message: string; readonly hint?: string };
    };

/** Everything that a judgement rests on. Plain data, so that it can be recorded. */
export interface HealthScene {
  /** Its `now` is the time of the API server. */
  readonly catalog: Catalog;
  /** By {@link podKey}. Only pods whose sidecar was asked. */
  readonly sidecars: ReadonlyMap<string, SidecarSaid>;
  /** The last lines of containers, by {@link containerKey}, without secrets. */
  readonly logs: ReadonlyMap<string, readonly string[]>;
}

export function podKey(pod: KubeObject): string {
  return `${namespaceOf(pod)}/${pod.metadata?.name ?? ''}`;
}

export function containerKey(pod: KubeObject, container: string): string {
  return `${podKey(pod)}/${container}`;
}

export function ageMs(object: KubeObject, now: number): number {
  const made = (object.metadata as { creationTimestamp?: unknown } | undefined)?.creationTimestamp;
  const at = typeof made === 'string' ? Date.parse(made) : Number.NaN;
  return Number.isNaN(at) ? 0 : Math.max(0, now - at);
}

/** What a controller, an operator or a person may still bring within this time is worth waiting for. */
export const GRACE_MS = 2 * 60_000;
/** A cluster that can grow has grown by then. */
export const GROW_MS = 10 * 60_000;

/** A cause of an object. Its sentence ends with a full stop. */
export function causeOf(
  object: KubeObject,
  code: string,
  message: string,
  more: { readonly hint?: string; readonly passing: boolean },
): Cause {
  const text = message.replace(/[\s.]+$/, '');
  const { hint, passing } = more;
  return {
    code,
    message: `${text}.`,
    ...(hint !== undefined && { hint }),
    object: refText(refOf(object)),
    passing,
  };
}
