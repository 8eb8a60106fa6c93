import type { ApiAnswer } from '../../../src/cluster/api/reader.ts';
import type { Health, MemberState } from '../../../src/cluster/health/state.ts';
import {
  annotationsOf,
  type KubeObject,
  labelsOf,
  listAt,
  textAt,
} from '../../../src/cluster/objects/kube-object.ts';
import type { PlanMember } from '../../../src/cluster/plan/document.ts';
import { RESTORE } from '../../../src/cluster/restore/names.ts';
import { answerGate } from '../../../src/cluster/webhook/restore-review.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { applyPatch } from '../../support/pods.ts';
import { SimulatedCluster, status } from '../snapshot/simulated-cluster.ts';

const PODS = /^\/api\/v1\/namespaces\/([^/]+)\/pods(?:\?dryRun=All)?$/;
const ROOT = '/apis/velero.io/v1/namespaces/velero';

/**
 * A simulated cluster in which Velero restores, and the webhook is asked about each new pod; the webhook's
 * decision is the real one. Kubelet and scheduler are played by {@link SimulatedHealth}.
 */
export class SimulatedRestore {
  readonly cluster = new SimulatedCluster();
  /** `down`: it does not answer, and pods are refused. `absent`: nobody asks it. */
  webhook: 'up' | 'down' | 'absent' = 'up';
  /** Pods that were created without waiting, in order: `NAMESPACE/NAME`. */
  readonly ungated: string[] = [];
  phase = 'Completed';
  /** Called for each request; what it throws breaks the connection. */
  before: ((method: string, path: string) => void) | undefined;
  readonly #backup: readonly KubeObject[];

  constructor(backup: readonly KubeObject[]) {
    this.#backup = backup;
    this.cluster.intercept = (method, path) => {
      this.before?.(method, path);
      const [, namespace] = PODS.exec(path) ?? [];
      if (method === 'POST' && namespace !== undefined && path.includes('dryRun')) {
        return this.#dryRun(namespace);
      }
      if (method === 'GET' && path === `${ROOT}/restores/${this.#run()}`) this.#restore();
      return undefined;
    };
  }

  /** Creates a pod as a controller would, if the webhook admits it. */
  create(namespace: string, pod: KubeObject): boolean {
    const admitted = this.#admit(namespace, pod, false);
    if (admitted === undefined) return false;
    const name = pod.metadata?.name ?? '';
    this.cluster.put(`/api/v1/namespaces/${namespace}/pods/${name}`, admitted);
    if (listAt(admitted, 'spec', 'schedulingGates').length === 0) {
      this.ungated.push(`${namespace}/${name}`);
    }
    return true;
  }

  pod(namespace: string, name: string): KubeObject | undefined {
    return this.cluster.read(`/api/v1/namespaces/${namespace}/pods/${name}`);
  }

  namespaceOf(name: string): KubeObject | undefined {
    return this.cluster.read(`/api/v1/namespaces/${name}`);
  }

  #run(): string {
    return this.cluster.all('restores').at(-1)?.metadata?.name ?? '';
  }

  /** Velero has created everything by the time that anybody looks. */
  #restore(): void {
    const restore = this.cluster.read(`${ROOT}/restores/${this.#run()}`);
    if (restore === undefined || textAt(restore, 'status', 'phase') !== undefined) return;
    const { spec } = restore as { spec: { namespaceMapping?: Record<string, string> } };
    this.cluster.change(`${ROOT}/restores/${this.#run()}`, { status: { phase: this.phase } });
    for (const object of this.#backup) {
      const from = object.metadata?.namespace ?? '';
      const namespace = spec.namespaceMapping?.[from] ?? from;
      const metadata = { ...object.metadata, namespace, ownerReferences: [] };
      const name = object.metadata?.name ?? '';
      if (object.kind === 'Pod') this.create(namespace, { ...object, metadata });
      if (object.kind !== 'CronJob') continue;
      const suspend = (object as { spec?: { suspend?: boolean } }).spec?.suspend === true;
      const mark = suspend ? {} : { [RESTORE.suspended]: this.#run() };
      this.cluster.put(`/apis/batch/v1/namespaces/${namespace}/cronjobs/${name}`, {
        metadata: { name, namespace, annotations: mark },
        spec: { suspend: true },
      });
    }
  }

  #dryRun(namespace: string): ApiAnswer {
    if (this.webhook === 'down') return status(500, 'failed calling webhook "restore.quiesce.dev"');
    const run = labelsOf(this.namespaceOf(namespace))[RESTORE.run] ?? '';
    const probe: Pod = { metadata: { name: 'probe', labels: { [RESTORE.probe]: run } } };
    return { status: 201, body: this.#admit(namespace, probe, true) };
  }

  #admit(namespace: string, pod: Pod, dryRun: boolean): Pod | undefined {
    const found = this.namespaceOf(namespace);
    const run = labelsOf(found)[RESTORE.run];
    if (run === undefined || this.webhook === 'absent') return pod;
    if (this.webhook === 'down') return undefined;
    const state = { run, alive: true, annotations: annotationsOf(found) };
    const request = { uid: 'u', pod, namespace, dryRun, createsPod: true };
    const { patch = '' } = answerGate(request, state).answer.response;
    if (patch === '') return pod;
    return applyPatch(pod, JSON.parse(Buffer.from(patch, 'base64').toString()) as never) as Pod;
  }
}

/**
 * Members as the simulated pods are: ready once all their pods are there without a gate. It records in which
 * order they became so, and what a test says of a member holds.
 */
export class SimulatedHealth implements Health {
  readonly ready: string[] = [];
  readonly say = new Map<string, Partial<MemberState>>();
  readonly #restore: SimulatedRestore;

  constructor(restore: SimulatedRestore) {
    this.#restore = restore;
  }

  async look(members: readonly PlanMember[]): Promise<readonly MemberState[]> {
    return await Promise.resolve(members.map((one) => this.#state(one)));
  }

  #state(member: PlanMember): MemberState {
    const up = member.pods.every((name) => {
      const pod = this.#restore.pod(member.namespace, name);
      return pod !== undefined && listAt(pod, 'spec', 'schedulingGates').length === 0;
    });
    const said = this.say.get(member.name);
    if (up && said?.ready !== false && !this.ready.includes(member.name)) {
      this.ready.push(member.name);
    }
    const level = member.claims.length > 0 ? { level: 'position' as const } : {};
    const receipts = member.claims.length > 0 ? ['r1'] : [];
    return { member, ready: up, judged: up, receipts, causes: [], ...level, ...said };
  }
}
