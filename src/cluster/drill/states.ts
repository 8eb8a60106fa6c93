import type { RestoreLevel } from '../../receipt/restore-level.ts';
import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { INIT_CONTAINER } from '../objects/names.ts';
import { GATE_CONTAINER, REACHED_EXIT } from './gate.ts';

/** What the sidecar of a copy says of its data. */
export interface Judged {
  readonly level: RestoreLevel;
  readonly message: string;
  /** The freeze in whose hold the data was copied. */
  readonly receipt?: string;
  /** When that freeze was asked for. */
  readonly dataAt?: string;
  /** The deep check, where it was asked for. */
  readonly content?: 'passed' | 'failed' | 'unchecked';
  /** The deep check's own words. */
  readonly contentSaid?: string;
}

/** How a copy stands, by what the API server says of its pod. */
export type PodState =
  | { readonly phase: 'waiting'; readonly why: string }
  /** Its containers run: its sidecar can be asked. */
  | { readonly phase: 'running' }
  | {
      readonly phase: 'failed';
      readonly code: string;
      readonly why: string;
      readonly container?: string;
    }
  /** It reached what it must not reach, and nothing else in it was started. */
  | { readonly phase: 'not-isolated'; readonly why: string };

/** A container may fail a few times while its neighbours start. */
const RESTARTS = 3;
/** Exit code of prepare-restore where the copy lacks what its receipt promises. */
const REFUSED_EXIT = 7;
const HOPELESS = new Set([
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
]);

/** Pure. */
export function podState(pod: KubeObject | undefined): PodState {
  if (pod === undefined)
    return { phase: 'failed', code: 'POD_GONE', why: 'somebody deleted the pod' };
  const phase = textAt(pod, 'status', 'phase');
  if (phase === 'Failed') {
    const why =
      textAt(pod, 'status', 'message') ?? textAt(pod, 'status', 'reason') ?? 'it has ended';
    return { phase: 'failed', code: 'POD_FAILED', why };
  }
  const inits = listAt(pod, 'status', 'initContainerStatuses');
  const containers = listAt(pod, 'status', 'containerStatuses');
  const gate = inits.find((one) => textAt(one, 'name') === GATE_CONTAINER);
  if (exitOf(gate) === REACHED_EXIT) return { phase: 'not-isolated', why: lastWords(gate) };
  const prepared = inits.find((one) => textAt(one, 'name') === INIT_CONTAINER);
  if (exitOf(prepared) === REFUSED_EXIT) {
    return { phase: 'failed', code: 'RESTORE_REFUSED', why: lastWords(prepared) };
  }
  for (const status of [...inits, ...containers]) {
    const failed = failureOf(status);
    if (failed !== undefined) return failed;
  }
  const running =
    containers.length > 0 && containers.every((one) => at(one, 'state', 'running') !== undefined);
  return running
    ? { phase: 'running' }
    : { phase: 'waiting', why: whyWaiting(pod, [...inits, ...containers]) };
}

function failureOf(status: unknown): PodState | undefined {
  const name = textAt(status, 'name') ?? '';
  const reason = textAt(status, 'state', 'waiting', 'reason') ?? '';
  const restarts = at(status, 'restartCount');
  const often = typeof restarts === 'number' && restarts >= RESTARTS;
  if (HOPELESS.has(reason)) {
    const said = textAt(status, 'state', 'waiting', 'message') ?? reason;
    return {
      phase: 'failed',
      code: 'CONTAINER_NOT_STARTED',
      why: `the container ${name}: ${said}`,
      container: name,
    };
  }
  if (!often || exitOf(status) === undefined || exitOf(status) === 0) return undefined;
  const why = `the container ${name} ended ${restarts} times, with exit code ${exitOf(status)}: ${lastWords(status)}`;
  return { phase: 'failed', code: 'CRASH_LOOP', why, container: name };
}

/** Of the last end of the container. */
function exitOf(status: unknown): number | undefined {
  const code =
    at(status, 'state', 'terminated', 'exitCode') ??
    at(status, 'lastState', 'terminated', 'exitCode');
  return typeof code === 'number' ? code : undefined;
}

function lastWords(status: unknown): string {
  const said =
    textAt(status, 'state', 'terminated', 'message') ??
    textAt(status, 'lastState', 'terminated', 'message') ??
    textAt(status, 'lastState', 'terminated', 'reason') ??
    'it said nothing';
  return said.trim().replaceAll(/\s+/g, ' ').slice(-400);
}

function whyWaiting(pod: KubeObject, statuses: readonly unknown[]): string {
  const scheduled = listAt(pod, 'status', 'conditions').find(
    (one) => textAt(one, 'type') === 'PodScheduled' && textAt(one, 'status') === 'False',
  );
  const said = textAt(scheduled, 'message');
  if (said !== undefined) return said.replaceAll(/\s+/g, ' ').slice(0, 300);
  const open = statuses.find((one) => at(one, 'state', 'running') !== undefined && !ready(one));
  const waiting = statuses.find((one) => {
    const reason = textAt(one, 'state', 'waiting', 'reason');
    return reason !== undefined && reason !== 'PodInitializing';
  });
  const detail =
    textAt(waiting, 'state', 'waiting', 'message') ?? textAt(waiting, 'state', 'waiting', 'reason');
  if (detail !== undefined) return `${textAt(waiting, 'name')}: ${detail}`.slice(0, 300);
  return open === undefined ? 'its volumes are attached' : `${textAt(open, 'name')} runs`;
}

function ready(status: unknown): boolean {
  return at(status, 'ready') === true;
}

/** What a status of the sidecar says; `undefined`: it has not judged yet. Pure. */
export function judgementIn(status: unknown, deep: boolean): Judged | undefined {
  const restore = at(status, 'restore');
  const level = textAt(restore, 'level') as RestoreLevel | undefined;
  if (level === undefined || at(restore, 'checkedAt') === null) return undefined;
  const content = textAt(restore, 'content', 'state');
  const open = deep && (level === 'position' || level === 'content') && content === 'pending';
  if (open) return undefined;
  const receipt = textAt(restore, 'id');
  const said = textAt(restore, 'content', 'message');
  return {
    level,
    message: textAt(restore, 'message') ?? '',
    ...(receipt !== undefined && { receipt }),
    ...(deep && isContent(content) && { content }),
    ...(deep && said !== undefined && { contentSaid: said }),
  };
}

function isContent(state: string | undefined): state is NonNullable<Judged['content']> {
  return state === 'passed' || state === 'failed' || state === 'unchecked';
}
