import { BadValue } from '../../lib/command-line/flags.ts';
import { strategicMerge } from '../objects/strategic-merge.ts';
import type { Container, Pod } from '../objects/pod.ts';

/** What a cluster demands of the added containers and of their pod: strategic merge patches. */
export interface SidecarPatch {
  readonly container?: object;
  readonly pod?: object;
}

/** Fields that injection itself decides, and by which it finds its container again. */
const OURS = ['name', 'image', 'command', 'args'];
/** What an init container may have of the patch. Probes and ports are the sidecar's. */
const OF_INIT = ['resources', 'securityContext', 'env', 'envFrom', 'volumeMounts'];

/** @throws BadValue */
export function readPatch(text: string): SidecarPatch {
  const given = parsed(text);
  for (const [key, value] of Object.entries(given)) {
    if (key !== 'container' && key !== 'pod') {
      throw new BadValue(`has the key ${JSON.stringify(key)}; it may have container and pod`);
    }
    if (!isObject(value)) throw new BadValue(`must have an object as ${key}`);
  }
  const { container = {}, pod = {} } = given as Record<string, Record<string, unknown>>;
  const taken = OURS.find((key) => Object.hasOwn(container, key));
  if (taken !== undefined) throw new BadValue(`must not set ${taken} of the container`);
  const spec = pod['spec'] ?? {};
  const list = ['containers', 'initContainers'].find((key) => isObject(spec) && key in spec);
  if (list !== undefined) {
    throw new BadValue(`must not set spec.${list} of the pod; container changes the sidecar`);
  }
  return given;
}

function parsed(text: string): object {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw new BadValue('must be JSON: {"container": {…}, "pod": {…}}');
  }
  if (!isObject(given)) throw new BadValue('must be a JSON object: {"container": {…}, "pod": {…}}');
  return given;
}

export function patchedSidecar(sidecar: Container, patch: SidecarPatch | undefined): Container {
  return strategicMerge(sidecar, patch?.container ?? {}) as Container;
}

export function patchedInit(init: Container, patch: SidecarPatch | undefined): Container {
  const entries = Object.entries(patch?.container ?? {}).filter(([key]) => OF_INIT.includes(key));
  return strategicMerge(init, Object.fromEntries(entries)) as Container;
}

/** The pod with what the cluster demands of it, and with the pull Secrets of the sidecar's image. */
export function patchedPod(
  pod: Pod,
  patch: SidecarPatch | undefined,
  pullSecrets: readonly string[] = [],
): Pod {
  const secrets = pullSecrets.map((name) => ({ name }));
  const pulling =
    secrets.length === 0 ? pod : strategicMerge(pod, { spec: { imagePullSecrets: secrets } });
  return strategicMerge(pulling, patch?.pod ?? {}) as Pod;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
