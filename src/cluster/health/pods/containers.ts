import { at, listAt, textAt } from '../../objects/kube-object.ts';
import { INIT_CONTAINER } from '../../objects/names.ts';
import { redactLine } from '../../../lib/redact.ts';
import { numberAt } from '../controllers.ts';
import { type Likely, likelyOf } from '../likely.ts';
import { containerKey } from '../scene.ts';
import type { Cause } from '../state.ts';
import type { PodContext } from './context.ts';
import { imageCause } from './images.ts';
import { missingIn } from './missing.ts';

/** After so many restarts a container does not come up by itself. */
const RESTARTS_IN_VAIN = 5;
const LINES = 5;
/** Lines of a stack trace, which say less than what stands before them. */
const FRAME = /^(?:at |\.\.\. \d+ |File "|goroutine \d|\t)|^[\])}{(^~\s]*$/;

/** One container of a pod, with its status. */
export interface Part {
  readonly name: string;
  readonly init: boolean;
  readonly status: unknown;
}

export function partsOf({ pod }: PodContext): readonly Part[] {
  const list = (specs: string, statuses: string, init: boolean): readonly Part[] =>
    listAt(pod, 'spec', specs).flatMap((one) => {
      const name = textAt(one, 'name');
      if (name === undefined) return [];
      const status = listAt(pod, 'status', statuses).find((two) => textAt(two, 'name') === name);
      // A sidecar among the init containers runs on; it is like any other once it has started.
      const runsOn = textAt(one, 'restartPolicy') === 'Always';
      return [{ name, init: init && !runsOn, status }];
    });
  return [
    ...list('initContainers', 'initContainerStatuses', true),
    ...list('containers', 'containerStatuses', false),
  ];
}

/** The end of a container's last run that was no success. */
export function lastFailure({ status, init }: Part): unknown {
  const ended = at(status, 'state', 'terminated') ?? at(status, 'lastState', 'terminated');
  if (ended === undefined) return undefined;
  if (numberAt(ended, 'exitCode') !== 0) return ended;
  // A container that should run on has failed whatever its code is.
  return init ? undefined : ended;
}

/** Whether the container does its work. */
export function isDone({ status, init }: Part): boolean {
  if (init) return numberAt(status, 'state', 'terminated', 'exitCode') === 0;
  return at(status, 'state', 'running') !== undefined && at(status, 'ready') === true;
}

/** Whether the last words of the container say why the pod is not ready. */
export function speaks(part: Part): boolean {
  if (isDone(part)) return false;
  return lastFailure(part) !== undefined || at(part.status, 'state', 'running') !== undefined;
}

/** Why this container is not ready; none: its turn has not come. */
export function partCauses(part: Part, context: PodContext): readonly Cause[] {
  const { status } = part;
  const waiting = at(status, 'state', 'waiting');
  const reason = textAt(waiting, 'reason') ?? '';
  const message = redactLine(textAt(waiting, 'message') ?? '', 600);
  const image = imageCause(part, reason, message, context);
  if (image !== undefined) return [image];
  if (/^CreateContainer(?:Config)?Error$|^CreatePodSandboxError$/.test(reason)) {
    return [missingIn(message, context) ?? notCreated(part, reason, message, context)];
  }
  if (/^(?:RunContainer|Start)Error$/.test(reason))
    return [notCreated(part, reason, message, context)];
  const failure = lastFailure(part);
  if (at(status, 'state', 'running') !== undefined) return [...running(part, failure, context)];
  if (failure !== undefined) return [ended(part, failure, context)];
  return [];
}

function notCreated(part: Part, reason: string, message: string, context: PodContext): Cause {
  const text = `The container ${part.name} cannot be started: ${message || reason}`;
  const hint = /runAsNonRoot/.test(message)
    ? 'Set runAsUser to a user other than root, or use an image that names one.'
    : 'Correct what the kubelet names.';
  return context.cause('CONTAINER_NOT_STARTED', text, context.fresh, hint);
}

/** It runs and is not ready. */
function* running(part: Part, failure: unknown, context: PodContext): Generator<Cause> {
  if (part.init) {
    const words = said(part, context);
    const text = `Its init container ${part.name} is still running${words}`;
    yield context.cause('INIT_RUNNING', text, true);
    return;
  }
  const restarts = numberAt(part.status, 'restartCount') ?? 0;
  const likely = likelyOf(linesOf(part, context));
  if (failure !== undefined && restarts > 0) {
    yield ended(part, failure, context);
    return;
  }
  const kind = at(part.status, 'started') === false ? 'Startup' : 'Readiness';
  const probe = context.events.latest(
    context.pod,
    /^Unhealthy$/,
    new RegExp(`^${kind} probe (?:failed|errored)`),
  );
  const answer = probe?.message ?? `its ${kind.toLowerCase()} probe has not succeeded yet`;
  const text = `The container ${part.name} runs and is not ready: ${answer}${said(part, context, likely)}`;
  const hint =
    likely?.hint ??
    (probe === undefined ? undefined : 'Ask what the probe asks, in the container.');
  const code = likely?.code ?? 'NOT_READY';
  yield context.cause(code, text, true, hint);
}

/** It has ended, or ends again and again. */
function ended(part: Part, failure: unknown, context: PodContext): Cause {
  if (part.name === INIT_CONTAINER) return refused(part, failure, context);
  const lines = linesOf(part, context);
  const reason = textAt(failure, 'reason') ?? '';
  const likely = likelyOf([...lines, redactLine(textAt(failure, 'message') ?? '', 600)]);
  const restarts = numberAt(part.status, 'restartCount') ?? 0;
  const which = part.init ? `The init container ${part.name}` : `The container ${part.name}`;
  const again =
    restarts > 0 ? `, ${restarts} ${restarts === 1 ? 'restart' : 'restarts'} so far` : '';
  if (reason === 'OOMKilled') {
    const text = `${which} was killed for using more memory than its limit (OOMKilled)${again}`;
    const hint = 'Raise its memory limit.';
    return context.cause('OUT_OF_MEMORY', text, restarts < RESTARTS_IN_VAIN, hint);
  }
  const code = numberAt(failure, 'exitCode');
  const killed = livenessKill(part, context, code);
  if (killed !== undefined && likely === undefined) return killed;
  const passing = likely?.passing !== false && restarts < RESTARTS_IN_VAIN;
  const why = [`code ${code ?? '?'}`, ...(reason === '' || reason === 'Error' ? [] : [reason])];
  const text = `${which} ends with ${why.join(', ')}${again}${said(part, context, likely)}`;
  const kind = part.init ? 'INIT_FAILED' : 'CRASH_LOOP';
  return context.cause(likely?.code ?? kind, text, passing, likely?.hint);
}

/** Only signals that a kubelet sends, so that another end is not laid at its door. */
function livenessKill(
  part: Part,
  context: PodContext,
  code: number | undefined,
): Cause | undefined {
  if (code !== 137 && code !== 143) return undefined;
  const probe = context.events.latest(
    context.pod,
    /^Unhealthy$/,
    /^(?:Liveness|Startup) probe (?:failed|errored)/,
  );
  if (probe === undefined) return undefined;
  const restarts = numberAt(part.status, 'restartCount') ?? 0;
  const text = `The kubelet kills the container ${part.name}, ${restarts} restarts so far: ${probe.message}`;
  const hint =
    'A database that recovers takes long to answer: give it a startup probe, or a longer one.';
  return context.cause('LIVENESS_FAILED', text, restarts < RESTARTS_IN_VAIN, hint);
}

/** What prepare-restore refused, in its own words. The database does not start on such a copy. */
function refused(part: Part, failure: unknown, context: PodContext): Cause {
  const message = textAt(failure, 'message') ?? '';
  const lines = [...linesOf(part, context), ...message.split('\n')];
  const own = lines
    .map((one) => /quiesce: ([A-Z_]+): (.*)$/.exec(one))
    .findLast((one) => one !== null);
  if (own === undefined || own === null) {
    const code = numberAt(failure, 'exitCode') ?? '?';
    const text = `prepare-restore ends with code ${code}${said(part, context)}`;
    return context.cause(
      'PREPARE_FAILED',
      text,
      (numberAt(part.status, 'restartCount') ?? 0) < RESTARTS_IN_VAIN,
    );
  }
  const [, code = '', rest = ''] = own;
  const [text = '', hint] = rest.split(' Hint: ');
  return context.cause(
    'COPY_REFUSED',
    `prepare-restore refuses the copy: ${code}: ${text}`,
    false,
    hint,
  );
}

function linesOf(part: Part, { pod, scene }: PodContext): readonly string[] {
  return scene.logs.get(containerKey(pod, part.name)) ?? [];
}

/** The likely cause, and the last lines of the container. */
function said(part: Part, context: PodContext, likely?: Likely): string {
  const all = linesOf(part, context);
  const words = all.filter((one) => !FRAME.test(one));
  const lines = (words.length > 0 ? words : all).slice(-LINES);
  const cause = likely === undefined ? '' : `. Probably ${likely.cause}`;
  return lines.length === 0 ? cause : `${cause}. Its last words: ${lines.join(' ⏎ ')}`;
}
