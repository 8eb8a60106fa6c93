import { abortedWithin, unlessAborted } from '../../lib/deadline.ts';
import { each } from '../api/objects.ts';
import type { PodConnection } from '../api/reader.ts';
import type { Catalog } from '../inventory/catalog.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { namespaceOf } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';
import type { PlanMember } from '../plan/document.ts';
import { sidecarAt, SidecarFailure } from '../run/sidecars.ts';
import { Events } from './events.ts';
import { judge } from './judge.ts';
import { locate } from './locate.ts';
import { readLogs } from './logs.ts';
import { PodContext } from './pods/context.ts';
import { speakersOf } from './pods/judge-pod.ts';
import { readHealth } from './read.ts';
import { type HealthScene, podKey, type SidecarSaid } from './scene.ts';
import type { Health, MemberState } from './state.ts';

const ANSWER_WITHIN_MS = 10_000;
const AT_ONCE = 50;

/** Looks at members through the API server, and asks their sidecars. Changes nothing. */
export class ClusterHealth implements Health {
  readonly #connection: PodConnection;

  constructor(connection: PodConnection) {
    this.#connection = connection;
  }

  async look(members: readonly PlanMember[], signal: AbortSignal): Promise<readonly MemberState[]> {
    return judge(await this.scene(members, signal), members);
  }

  /** What a judgement of these members rests on. */
  async scene(members: readonly PlanMember[], signal: AbortSignal): Promise<HealthScene> {
    signal.throwIfAborted();
    const catalog = await unlessAborted(readHealth(this.#connection, members), signal);
    const pods = locate(catalog, members).flatMap((one) => one.pods);
    const [sidecars, logs] = await unlessAborted(
      Promise.all([this.#ask(pods, signal), this.#logs(catalog, pods)]),
      signal,
    );
    return { catalog, sidecars, logs };
  }

  async #logs(catalog: Catalog, pods: readonly KubeObject[]) {
    const silent = { catalog, sidecars: new Map(), logs: new Map() };
    const events = new Events(catalog);
    const speakers = pods.flatMap((pod) =>
      speakersOf(new PodContext(pod, silent, events)).map((part) => ({ pod, part })),
    );
    return await readLogs(this.#connection, speakers);
  }

  async #ask(
    pods: readonly KubeObject[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, SidecarSaid>> {
    const asked = pods.filter(
      (pod) => pod.metadata?.deletionTimestamp === undefined && sidecarContainer(pod)?.running,
    );
    const answers = await each(
      asked,
      async (pod): Promise<[string, SidecarSaid]> => [podKey(pod), await this.#askOne(pod, signal)],
      AT_ONCE,
    );
    return new Map(answers);
  }

  async #askOne(pod: KubeObject, signal: AbortSignal): Promise<SidecarSaid> {
    const found = sidecarContainer(pod);
    const place = {
      namespace: namespaceOf(pod),
      pod: pod.metadata?.name ?? '',
      container: found?.container ?? '',
      port: found?.port,
    };
    const limit = abortedWithin(ANSWER_WITHIN_MS, signal);
    try {
      const { restore } = await sidecarAt(this.#connection, place).status(limit);
      return { restore: restore ?? null };
    } catch (error) {
      signal.throwIfAborted();
      return { problem: problemOf(error, place.pod) };
    }
  }
}

function problemOf(error: unknown, pod: string) {
  if (error instanceof SidecarFailure) {
    const { code, message, hint } = error;
    return { code, message, ...(hint !== undefined && { hint }) };
  }
  const message = `The sidecar of the pod ${pod} has not answered within ${ANSWER_WITHIN_MS / 1_000} s.`;
  return { code: 'SIDECAR_UNREACHABLE', message };
}
