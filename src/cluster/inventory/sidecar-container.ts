import { CONTROL_PORT } from '../../defaults.ts';
import { Environment } from '../inject/environment.ts';
import { normalizePod } from '../objects/normalize.ts';
import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { nativeOf, sidecarOf } from './pod-facts.ts';

/** The sidecar of a pod, as its spec and status describe it. */
export interface SidecarContainer {
  readonly container: string;
  /**
   * The port on the pod's loopback address that takes requests without a token; `undefined`: there is
   * none, or it cannot be told.
   */
  readonly port: number | undefined;
  /** The container runs. */
  readonly running: boolean;
}

/** `undefined`: the pod has no sidecar. */
export function sidecarContainer(object: KubeObject): SidecarContainer | undefined {
  const pod = normalizePod(object);
  const found = sidecarOf(pod) ?? nativeOf(pod);
  if (found === undefined) return undefined;
  const statuses = ['containerStatuses', 'initContainerStatuses'].flatMap((list) =>
    listAt(object, 'status', list),
  );
  const status = statuses.find((one) => textAt(one, 'name') === found.name);
  return {
    container: found.name,
    port: portOf(new Environment(found)),
    running: at(status, 'state', 'running') !== undefined,
  };
}

function portOf(env: Environment): number | undefined {
  const token = ['QUIESCE_CONTROL_TOKEN', 'QUIESCE_CONTROL_TOKEN_FILE'].some((one) => env.has(one));
  if (token) return undefined;
  if (!env.has('QUIESCE_CONTROL_ADDR')) {
    return env.has('QUIESCE_CONTROL_ADDR_FILE') ? undefined : CONTROL_PORT;
  }
  const port = /:(\d{1,5})$/.exec(env.plain('QUIESCE_CONTROL_ADDR') ?? '')?.[1];
  return port === undefined ? undefined : Number(port);
}
