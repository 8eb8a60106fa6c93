import type { ExecPlace, Printed } from '../api/exec.ts';
import type { ForwardPlace, PodAnswer, PodRequest } from '../api/forward.ts';
import { PortClosed } from '../api/forwarded.ts';
import { StreamRefused } from '../api/channels.ts';
import { at } from '../objects/kube-object.ts';
import { forbidden } from '../api/rights.ts';

/** Where a sidecar is. */
export interface SidecarPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** Its control port; `undefined`: it takes no request there without a token. */
  readonly port: number | undefined;
}

/** One call of a sidecar: as a request to its port, and as a command in its container. */
export interface SidecarCall {
  readonly request: PodRequest;
  readonly command: readonly string[];
}

/** What a sidecar answered. */
export interface SidecarAnswer {
  readonly ok: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The calls into pods that reach a sidecar. */
export interface PodCalls {
  exec(place: ExecPlace, command: readonly string[], signal: AbortSignal): Promise<Printed>;
  call(place: ForwardPlace, request: PodRequest, signal: AbortSignal): Promise<PodAnswer>;
}

/** This way does not lead to the sidecar, and nothing was done. */
export class NoWay extends Error {}

/** The connection broke, or gave no sensible answer: the call may have been carried out or not. */
export class Broken extends Error {}

export type Way = (wanted: SidecarCall, signal: AbortSignal) => Promise<SidecarAnswer>;

/** The ways to a sidecar, the better one first. A forwarded port starts no process in the pod. */
export function waysTo(pods: PodCalls, place: SidecarPlace): readonly Way[] {
  const { port } = place;
  const exec: Way = (wanted, signal) => byExec(pods, place, wanted, signal);
  if (port === undefined) return [exec];
  return [(wanted, signal) => byForward(pods, { ...place, port }, wanted, signal), exec];
}

async function byForward(
  pods: PodCalls,
  place: ForwardPlace,
  { request }: SidecarCall,
  signal: AbortSignal,
): Promise<SidecarAnswer> {
  const { status, body } = await pods.call(place, request, signal).catch((error: unknown) => {
    throw translated(error, place, 'portforward', signal);
  });
  // A token is set where the pod's spec does not show it. Nothing was done.
  if (status === 401) throw new NoWay('the sidecar asks for a token');
  return { ok: status === 200, body: recordOf(body) };
}

async function byExec(
  pods: PodCalls,
  place: SidecarPlace,
  { command }: SidecarCall,
  signal: AbortSignal,
): Promise<SidecarAnswer> {
  const printed = await pods.exec(place, command, signal).catch((error: unknown) => {
    throw translated(error, place, 'exec', signal);
  });
  const { stdout, stderr, exit, failure } = printed;
  if (failure !== undefined) throw new NoWay(failure);
  if (exit === undefined) throw new Broken('the connection ended before the command');
  return { ok: exit === 0, body: recordOf(parsed(stdout), stderr) };
}

function translated(
  error: unknown,
  { namespace, pod }: { readonly namespace: string; readonly pod: string },
  resource: 'portforward' | 'exec',
  signal: AbortSignal,
): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof PortClosed) return new NoWay(error.message, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof StreamRefused)) return new Broken(message, { cause: error });
  if (error.status !== 403) return new NoWay(message, { cause: error });
  const right = { group: '', resource: `pods/${resource}`, namespace };
  // Kubernetes asks for `get` of a WebSocket, and since 1.35 for `create`.
  const rights = ['get', 'create'].map((verb) => ({ ...right, verb }));
  const cause = forbidden(rights, message);
  return new NoWay(`pods/${resource} is forbidden for ${pod}`, { cause });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** @throws Broken if it is not an object, so that it does not come from a sidecar */
function recordOf(body: unknown, said = ''): SidecarAnswer['body'] {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    return body as SidecarAnswer['body'];
  }
  const reason = said.trim().split('\n')[0] ?? '';
  throw new Broken(`what answers is no sidecar${reason === '' ? '' : `: ${reason}`}`);
}

/** The error of an answer that is no success. */
export function errorIn({ body }: SidecarAnswer) {
  const text = (field: string): string | undefined => {
    const found = at(body, 'error', field);
    return typeof found === 'string' ? found : undefined;
  };
  return { code: text('code'), message: text('message'), hint: text('hint') };
}
