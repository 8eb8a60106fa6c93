import { Catalog } from '../../../src/cluster/inventory/catalog.ts';
import type { KubeObject } from '../../../src/cluster/objects/kube-object.ts';
import { judge } from '../../../src/cluster/health/judge.ts';
import type { SidecarSaid } from '../../../src/cluster/health/scene.ts';
import type { MemberState } from '../../../src/cluster/health/state.ts';
import type { PlanMember } from '../../../src/cluster/plan/document.ts';

/** The time of the API server in these scenes. */
export const NOW = Date.parse('2026-08-20T10:00:00Z');
export const ago = (seconds: number): string => new Date(NOW - seconds * 1_000).toISOString();

export function memberOf(ref: string, pods: readonly string[] = []): PlanMember {
  const [kind = '', name = ''] = ref.split('/');
  return {
    namespace: 'shop',
    kind,
    name,
    stage: 'databases',
    from: 'stage',
    priority: 'normal',
    protection: 'not-needed',
    pods,
    claims: [],
    after: [],
    dependsOn: [],
  };
}

type Fields = Readonly<Record<string, unknown>>;

export function objectOf(
  apiVersion: string,
  ref: string,
  { metadata = {}, ...rest }: { readonly metadata?: Fields } & Fields = {},
): KubeObject {
  const [kind = '', name = ''] = ref.split('/');
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace: 'shop',
      uid: ref,
      creationTimestamp: ago(500),
      ...metadata,
    } as never,
    ...rest,
  };
}

/** A StatefulSet as the controller reports it once all is well. */
export function statefulSet(
  spec: Fields = {},
  status: Fields = {},
  metadata: Fields = {},
): KubeObject {
  return objectOf('apps/v1', 'StatefulSet/db', {
    metadata: { generation: 2, ...metadata },
    spec: { replicas: 1, template: TEMPLATE, ...spec },
    status: {
      observedGeneration: 2,
      replicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      updatedReplicas: 1,
      currentReplicas: 1,
      currentRevision: 'db-1',
      updateRevision: 'db-1',
      ...status,
    },
  });
}

export const TEMPLATE = {
  metadata: { labels: { app: 'db' } },
  spec: { containers: [{ name: 'main', image: 'registry.example/app:1' }] },
};

/** The status of a StatefulSet whose pod is not ready. */
export const UNREADY = { readyReplicas: 0, availableReplicas: 0 };

const OWNER = {
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  name: 'db',
  uid: 'StatefulSet/db',
  controller: true,
};
export const condition = (type: string, status: string, more: Fields = {}) => ({
  type,
  status,
  ...more,
});

/** A pod that has a node and is ready, unless these fields say otherwise. */
export function podOf(
  {
    metadata = {},
    spec = {},
    status = {},
  }: { metadata?: Fields; spec?: Fields; status?: Fields } = {},
  name = 'db-0',
): KubeObject {
  return objectOf('v1', `Pod/${name}`, {
    metadata: { labels: { app: 'db' }, ownerReferences: [OWNER], ...metadata },
    spec: { nodeName: 'node-1', containers: TEMPLATE.spec.containers, ...spec },
    status: {
      phase: 'Running',
      conditions: [condition('PodScheduled', 'True'), condition('Ready', 'True')],
      containerStatuses: [
        { name: 'main', ready: true, started: true, restartCount: 0, state: { running: {} } },
      ],
      ...status,
    },
  });
}

/** A pod whose container `main` has this status. */
export function troubled(
  container: Fields,
  more: { spec?: Fields; status?: Fields; metadata?: Fields } = {},
) {
  return podOf({
    ...more,
    status: {
      phase: 'Pending',
      conditions: [condition('PodScheduled', 'True'), condition('Ready', 'False')],
      containerStatuses: [{ name: 'main', ready: false, restartCount: 0, ...container }],
      ...more.status,
    },
  });
}

export const waiting = (reason: string, message?: string) => ({
  state: { waiting: { reason, message } },
});

let events = 0;
export function eventOf(
  about: KubeObject,
  reason: string,
  message: string,
  more: Fields = {},
): KubeObject {
  events += 1;
  return objectOf('v1', `Event/e${events}`, {
    involvedObject: { kind: about.kind, name: about.metadata?.name, uid: about.metadata?.uid },
    reason,
    message,
    type: 'Warning',
    lastTimestamp: ago(10),
    ...more,
  });
}

export interface Around {
  readonly logs?: Readonly<Record<string, readonly string[]>>;
  readonly sidecars?: Readonly<Record<string, SidecarSaid>>;
  readonly member?: PlanMember;
}

export function look(objects: readonly KubeObject[], around: Around = {}): MemberState {
  const { logs = {}, sidecars = {}, member = memberOf('StatefulSet/db', ['db-0']) } = around;
  const catalog = new Catalog({ objects, scope: 'cluster', unexamined: [], now: NOW });
  const scene = {
    catalog,
    logs: new Map(Object.entries(logs)),
    sidecars: new Map(Object.entries(sidecars)),
  };
  const [state] = judge(scene, [member]);
  if (state === undefined) throw new Error('no state');
  return state;
}

/** What the search ends with: the first cause. */
export function cause(objects: readonly KubeObject[], around: Around = {}) {
  const state = look(objects, around);
  const [first] = state.causes;
  if (first === undefined) throw new Error('no cause');
  return { ready: state.ready, ...first };
}

/** `CODE passing`, `CODE in-vain`. */
export function codes({ causes }: MemberState): readonly string[] {
  return causes.map(({ code, passing }) => `${code} ${passing ? 'passing' : 'in-vain'}`);
}
