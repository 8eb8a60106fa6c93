import type { EngineName } from '../../engines/names.ts';
import type { RestoreCheckLevel } from '../../receipt/restore-level.ts';
import { type Database, findDatabase } from '../inject/find-database.ts';
import { inject } from '../inject/inject.ts';
import { INJECT_DEFAULTS } from '../inject/options.ts';
import { readSettings } from '../inject/settings.ts';
import { annotationsOf, at, textAt } from '../objects/kube-object.ts';
import { ANNOTATIONS, CONTAINER, INIT_CONTAINER, INJECT_LABEL } from '../objects/names.ts';
import type { Container, Pod, PodSpec } from '../objects/pod.ts';
import { isolationGate, type GateTargets } from './gate.ts';
import { ownNames } from './host-names.ts';
import { type DrillMarks, marked } from './marks.ts';
import { copiedVolumes } from './pod-volumes.ts';
import { standalone } from './standalone.ts';

export interface PodOrder {
  readonly marks: DrillMarks;
  readonly namespace: string;
  readonly name: string;
  /** Of the sidecar. */
  readonly image: string;
  readonly check: RestoreCheckLevel;
  /** Claims that were made anew. */
  readonly claims: ReadonlySet<string>;
  /** What it must not reach; absent: nothing proves that it reaches nobody. */
  readonly gate?: GateTargets;
  /** The kubelet ends it then, if nobody else does. */
  readonly activeSeconds: number;
  readonly receipt?: Readonly<Record<string, unknown>>;
}

export type DrillPod =
  | {
      readonly pod: Pod;
      readonly engine: EngineName;
      readonly sidecar: string;
      /** What is not as in the source. */
      readonly notes: readonly string[];
    }
  | { readonly wrong: string };

/** Settings of the sidecar's injection. All other annotations of the source mean nothing here. */
const SETTINGS: readonly string[] = [
  ANNOTATIONS.engine,
  ANNOTATIONS.container,
  ANNOTATIONS.credentialsSecret,
  ANNOTATIONS.copy,
  ANNOTATIONS.restoreRequiresReceipt,
  ANNOTATIONS.restoreScan,
];

/**
 * The one pod that proves the data of a pod of the source: its database on the copied volumes, our sidecar, and
 * nothing else. It talks to nobody, knows no names and holds no token. Pure.
 *
 * @param source a pod that ran, or the template of one
 */
export function drillPod(source: Pod, order: PodOrder): DrillPod {
  const { marks, check } = order;
  const annotations = {
    ...settingsOf(source),
    [ANNOTATIONS.restoreCheck]: check,
    [ANNOTATIONS.restoreName]: marks.id,
  };
  const { settings } = readSettings(annotations);
  const database = findDatabase(source, settings);
  if ('field' in database) return { wrong: `${database.field} ${database.message}` };
  const engine = database.profile.name;
  const { container, shell } = standalone(engine, bare(database.container));
  const inits = initContainersFor(source.spec, database);
  const volumes = copiedVolumes(source.spec ?? {}, [container, ...inits], order.claims);
  const base: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    // The label asks for the injection here, and comes off again: no webhook shall add hooks of Velero.
    metadata: { name: order.name, annotations, labels: { [INJECT_LABEL]: 'true' } },
    spec: {
      ...placed(source.spec ?? {}),
      containers: [container, ...ownSidecar(source)],
      ...(inits.length > 0 && { initContainers: inits }),
      volumes: [...volumes.volumes],
    },
  };
  const done = inject(base, { ...INJECT_DEFAULTS, image: order.image, prepareRestore: true });
  if (done.outcome !== 'injected') return { wrong: whyNot(done) };
  const pod = finished(done.pod, source, order);
  if (!pod.spec?.initContainers?.some(({ name }) => name === INIT_CONTAINER)) {
    return { wrong: 'the folder of its data was not found' };
  }
  return { pod, engine, sidecar: CONTAINER, notes: notesOf(volumes.empty, inits, source, shell) };
}

function settingsOf(source: Pod): Readonly<Record<string, string>> {
  const entries = Object.entries(annotationsOf(source));
  return Object.fromEntries(entries.filter(([key]) => SETTINGS.includes(key)));
}

/** Probes and hooks are of production: a readiness probe may ask for replicas, a hook may tell others. */
function bare(container: Container): Container {
  const gone = new Set(['livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle', 'tty']);
  const rest = Object.entries(container).filter(([key]) => !gone.has(key));
  const plain = Object.fromEntries(rest) as unknown as Container;
  const mounts = plain.volumeMounts?.filter(({ name }) => !isToken(name));
  const ports = plain.ports?.map(({ name, containerPort, protocol }) => ({
    containerPort,
    ...(name !== undefined && { name }),
    ...(protocol !== undefined && { protocol }),
  }));
  return {
    ...plain,
    // Its last lines are there, too, when a report says why it did not start.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...(mounts !== undefined && { volumeMounts: mounts }),
    ...(ports !== undefined && { ports }),
  };
}

function isToken(volume: string): boolean {
  return volume.startsWith('kube-api-access-');
}

/**
 * Init containers that fill a volume for the database, such as one that renders its configuration. All others,
 * such as one that waits for a neighbour, would wait for ever.
 */
function initContainersFor(spec: PodSpec | undefined, { container }: Database): Container[] {
  const scratch = new Set(
    (spec?.volumes ?? []).filter((one) => one['emptyDir'] !== undefined).map(({ name }) => name),
  );
  const shared = new Set(
    (container.volumeMounts ?? []).map(({ name }) => name).filter((name) => scratch.has(name)),
  );
  return (spec?.initContainers ?? [])
    .filter(({ name, restartPolicy }) => name !== INIT_CONTAINER && restartPolicy !== 'Always')
    .filter(({ volumeMounts = [] }) => volumeMounts.some(({ name }) => shared.has(name)))
    .map(bare);
}

/** The user's own settings of a sidecar are in its container. */
function ownSidecar({ spec }: Pod): readonly Container[] {
  return (spec?.containers ?? []).filter(({ name }) => name === CONTAINER).map(bare);
}

/** Where it may run, and as whom. Its priority is the lowest: it displaces nobody. */
function placed(spec: PodSpec): object {
  const given = spec as Readonly<Record<string, unknown>>;
  const keys = ['securityContext', 'nodeSelector', 'tolerations', 'imagePullSecrets', 'hostname'];
  const more = ['runtimeClassName', 'os', 'shareProcessNamespace'];
  const kept = [...keys, ...more].filter((key) => given[key] !== undefined);
  const nodes = at(given, 'affinity', 'nodeAffinity');
  return {
    ...Object.fromEntries(kept.map((key) => [key, given[key]])),
    ...(nodes !== undefined && { affinity: { nodeAffinity: nodes } }),
  };
}

function finished(pod: Pod, source: Pod, order: PodOrder): Pod {
  const { marks, namespace, name, gate } = order;
  const own = marked(name, namespace, marks);
  const settings = Object.entries(pod.metadata?.annotations ?? {}).filter(
    ([key]) => key !== ANNOTATIONS.written && Object.values<string>(ANNOTATIONS).includes(key),
  );
  const inits = pod.spec?.initContainers ?? [];
  const prepared = inits.find((one) => one.name === INIT_CONTAINER);
  const first = gate === undefined || !prepared ? [] : [isolationGate(prepared, gate)];
  return {
    ...pod,
    metadata: { ...own, annotations: { ...Object.fromEntries(settings), ...own.annotations } },
    spec: {
      ...pod.spec,
      initContainers: [...first, ...inits.filter((one) => one.name !== first[0]?.name)],
      restartPolicy: 'Always',
      ...({
        automountServiceAccountToken: false,
        enableServiceLinks: false,
        activeDeadlineSeconds: order.activeSeconds,
        terminationGracePeriodSeconds: 1,
        // No name resolves, but its own.
        dnsPolicy: 'None',
        dnsConfig: { nameservers: ['127.0.0.1'] },
        hostAliases: [{ ip: '127.0.0.1', hostnames: ownNames(source, order) }],
      } as object),
    },
  };
}

function whyNot(done: Exclude<ReturnType<typeof inject>, { outcome: 'injected' }>): string {
  if (done.outcome === 'skipped') return done.message.replace(/\.$/, '');
  return done.issues.map(({ field, message }) => `${field} ${message}`).join('; ');
}

function notesOf(
  empty: readonly string[],
  inits: readonly Container[],
  { spec }: Pod,
  shell: boolean,
): readonly string[] {
  const kept = new Set([...inits.map(({ name }) => name), INIT_CONTAINER]);
  const dropped = (spec?.initContainers ?? []).filter(({ name }) => !kept.has(name));
  const names = dropped.map(({ name }) => name);
  return [
    ...(empty.length === 0 ? [] : [`Its volumes ${empty.join(', ')} are empty in the copy.`]),
    ...(names.length === 0 ? [] : [`Its init containers ${names.join(', ')} did not run.`]),
    ...(shell ? ['It runs a script: only the network keeps the copy from others.'] : []),
  ];
}

/** The sidecar's image in a pod. */
export function sidecarImage({ spec }: Pod): string | undefined {
  const all = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return textAt(
    all.find(({ name }) => name === CONTAINER),
    'image',
  );
}
