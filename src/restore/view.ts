import type { Difference } from '../engines/engine.ts';
import type { ContentState, RestoreLevel, UnprovenReason } from '../receipt/restore-level.ts';

/** The deep check of a restored database, where it was asked for. */
export interface ContentView {
  readonly state: ContentState;
  /** `null`: it has not ended yet. */
  readonly checkedAt: string | null;
  readonly message: string;
}

/** What is known about the restore that made this pod or its volume. */
export interface RestoreView {
  /** The freeze in whose hold the copy was cut; `null`: the volume has no receipt. */
  readonly id: string | null;
  /** The restore that made the pod; `null`: not known. */
  readonly mark: string | null;
  readonly level: RestoreLevel;
  /** Only with the level `unproven`. */
  readonly reason?: UnprovenReason | undefined;
  /** `null`: not judged yet. `true`: every check so far has passed. */
  readonly verified: boolean | null;
  readonly checkedAt: string | null;
  readonly message: string;
  readonly content: ContentView | null;
  /** In what the server differs from the one that was copied; `null`: not known. */
  readonly differences?: readonly Difference[] | null | undefined;
}

/** Who ended the report of an unproven or refused restore, and when. */
export interface Settled {
  /** `freeze`: a consistent freeze has proven the state since. */
  readonly how: 'acknowledged' | 'freeze';
  readonly by: string;
  readonly at: string;
}

/** A restore that a person has accepted as it is. */
export interface Acknowledged {
  readonly id: string | null;
  readonly mark: string | null;
  readonly level: RestoreLevel;
  readonly reason?: UnprovenReason | undefined;
  readonly message: string;
  readonly by: string;
  readonly at: string;
}

/** The fields of a log line. The log has a level of its own, so that of the restore is inside. */
export function logFieldsOf({ id, mark, level, reason, content, message }: RestoreView): object {
  const deep = content === null ? {} : { content };
  return { freeze: id, restore: { mark, level, reason, ...deep }, problem: message };
}

export function now(): string {
  return new Date().toISOString();
}

/** Whether the running server confirms what the receipt promises. */
export function reachesPosition({ level }: RestoreView): boolean {
  return level === 'position' || level === 'content';
}

/** Whether the data may be wrong: nothing proves it, or the deep check found damage. */
export function isInDoubt(view: RestoreView): boolean {
  return !reachesPosition(view) || view.content?.state === 'failed';
}

/** Whether a person must look at it: an acknowledgement ends the report. */
export function needsAttention(view: RestoreView): boolean {
  return isInDoubt(view) || view.content?.state === 'unchecked';
}

const PENDING = { state: 'pending', checkedAt: null, message: 'Not checked yet.' } as const;

/** The view of a copy with a receipt that nothing has checked yet. @param deep the content will be checked */
export function notChecked(
  id: string,
  mark: string | null,
  message: string,
  deep: boolean,
): RestoreView {
  const level = { level: 'unproven', reason: 'unchecked' } as const;
  const content = deep ? PENDING : null;
  return { id, mark, ...level, verified: null, checkedAt: null, message, content };
}

/** The view of a restore at its position, with what the deep check found. */
export function withContent(view: RestoreView, content: ContentView): RestoreView {
  if (content.state === 'failed') return { ...view, verified: false, content };
  if (content.state !== 'passed') return { ...view, content };
  const message = `${view.message} The deep check passed.`;
  return { ...view, level: 'content', message, content };
}

/** The views of a restored pod whose volume carries no receipt. */
export function withoutReceipt(mark: string, mounted: boolean, empty: boolean): RestoreView {
  return {
    id: null,
    mark,
    level: 'unproven',
    reason: empty ? 'empty' : 'no-receipt',
    verified: false,
    checkedAt: now(),
    message: explain(mark, mounted, empty),
    content: null,
  };
}

function explain(mark: string, mounted: boolean, empty: boolean): string {
  const pod = `This pod was restored (${mark})`;
  if (empty) {
    return `${pod}, but its database was empty when the sidecar first asked, at ${now()}: the volume came back without its data, or did not come back. Whatever it contains now was written since.`;
  }
  return mounted
    ? `${pod}, but its volume has no receipt: nothing proves that the data is whole. The copy was not cut during a freeze, or the lease of that freeze had ended.`
    : `${pod}, but the sidecar sees no volume (QUIESCE_DATA_DIR is not set), so nothing proves that the data is whole.`;
}
