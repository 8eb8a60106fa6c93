import type { ObjectApi } from '../api/objects.ts';
import { PODS } from '../api/objects.ts';
import { at, type KubeObject, namespaceOf, textAt } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';
import { RESTORE } from '../restore/names.ts';
import { sidecarAt } from '../run/sidecars.ts';
import type { PodCalls } from '../run/sidecar-ways.ts';
import { abortedWithin } from '../../lib/deadline.ts';
import { type Judged, judgementIn, podState, type PodState } from './states.ts';

/** How one copy stands now. */
export interface Seen {
  readonly state: PodState;
  readonly judged?: Judged;
  /** What it waits for, for people. */
  readonly doing: string;
}

const ASK_WITHIN_MS = 20_000;

/** Looks at the pods of a drill, and asks the sidecars of those that run. Keys are `NAMESPACE/POD`. */
export async function lookAtCopies(
  { api, pods }: { readonly api: ObjectApi; readonly pods: PodCalls },
  {
    id,
    namespaces,
    deep,
    wanted,
  }: {
    readonly id: string;
    readonly namespaces: readonly string[];
    readonly deep: boolean;
    /** The copies that are not judged yet. */
    readonly wanted: readonly string[];
  },
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Seen>> {
  const found = await api.listIn(PODS, namespaces, `${RESTORE.drill}=${id}`);
  const byKey = new Map<string, KubeObject>(
    found.map((one) => [`${namespaceOf(one)}/${one.metadata?.name ?? ''}`, one]),
  );
  const seen = await Promise.all(
    wanted.map(async (key): Promise<readonly [string, Seen]> => {
      const pod = byKey.get(key);
      const state = podState(pod);
      if (state.phase !== 'running' || pod === undefined) {
        return [key, { state, doing: 'why' in state ? state.why : '' }];
      }
      return [key, { state, ...(await ask(pods, pod, deep, signal)) }];
    }),
  );
  return new Map(seen);
}

async function ask(
  pods: PodCalls,
  pod: KubeObject,
  deep: boolean,
  signal: AbortSignal,
): Promise<Pick<Seen, 'judged' | 'doing'>> {
  const sidecar = sidecarContainer(pod);
  if (sidecar === undefined) return { doing: 'it has no sidecar' };
  const { container, port } = sidecar;
  const place = { namespace: namespaceOf(pod), pod: pod.metadata?.name ?? '', container, port };
  const limit = abortedWithin(ASK_WITHIN_MS, signal);
  const reached = sidecarAt(pods, place);
  try {
    const status = await reached.status(limit);
    const judged = judgementIn(status, deep);
    if (judged === undefined) {
      const said = textAt(status, 'engine', 'message');
      return { doing: `its data is checked${said === undefined ? '' : ` (${said})`}` };
    }
    const dataAt = await timeOf(reached, limit);
    return { judged: { ...judged, ...(dataAt !== undefined && { dataAt }) }, doing: 'judged' };
  } catch (error) {
    signal.throwIfAborted();
    return { doing: `its sidecar does not answer: ${(error as Error).message}` };
  }
}

/** When the freeze of the copy was asked for. Without it the age of the data is not known. */
async function timeOf(
  sidecar: ReturnType<typeof sidecarAt>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const time = at(await sidecar.receipts(signal), 'restored', 'requestedAt');
    return typeof time === 'string' ? time : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
