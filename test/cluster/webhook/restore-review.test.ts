import { describe, expect, it } from 'vitest';
import { writeStages } from '../../../src/cluster/gates/stages.ts';
import type { GateState } from '../../../src/cluster/gates/decide.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { RESTORE } from '../../../src/cluster/restore/names.ts';
import { LeaseSightings } from '../../../src/cluster/webhook/lease-sightings.ts';
import { answerGate } from '../../../src/cluster/webhook/restore-review.ts';
import { answerReview, readReview } from '../../../src/cluster/webhook/review.ts';
import { applyPatch, CONFIG, postgresPod } from '../../support/pods.ts';

const RUN = 'shop-20260101000000-abcd';

function state(more: { released?: string; alive?: boolean; hold?: boolean } = {}): GateState {
  const { released = '', alive = true, hold = false } = more;
  const db = { kind: 'StatefulSet', name: 'db', pods: ['db-0'], ...(hold && { hold }) };
  const stages = { layers: [[db], [{ kind: 'Pod', name: 'api', pods: ['api'] }]], last: 1 };
  return {
    run: RUN,
    alive,
    annotations: { [RESTORE.stages]: writeStages(stages), [RESTORE.released]: released },
  };
}

function ask(pod: Pod, given: GateState, more: object = {}) {
  const body = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u1',
      kind: { kind: 'Pod' },
      operation: 'CREATE',
      namespace: 'shop',
      object: pod,
      ...more,
    },
  };
  const outcome = answerGate(readReview(body), given);
  const { patch } = outcome.answer.response;
  const operations = patch === undefined ? [] : JSON.parse(Buffer.from(patch, 'base64').toString());
  return { ...outcome, pod: applyPatch(pod, operations as never) as Pod };
}

describe('a pod in a namespace under restore', () => {
  it('gets a gate while its layer is not released, beside the gates of others', () => {
    const own = { metadata: { name: 'db-0' }, spec: { schedulingGates: [{ name: 'quota' }] } };
    const { pod, result, answer } = ask(own, state());
    expect(result).toBe('gated');
    expect(answer.response).toMatchObject({ uid: 'u1', allowed: true });
    expect(pod.spec?.schedulingGates).toEqual([{ name: 'quota' }, { name: RESTORE.gate }]);
    const again = ask(pod, state());
    expect(again.result).toBe('gated');
    expect(again.answer.response).not.toHaveProperty('patch');
  });

  it('gets none once its layer is released: one that is evicted comes back at once', () => {
    expect(ask({ metadata: { name: 'db-0' } }, state({ released: '0' })).result).toBe('passed');
    expect(ask({ metadata: { name: 'api' } }, state({ released: '0' })).result).toBe('gated');
  });

  it('gets none if it is bound, a stranger, a probe of the verb, or changed instead of created', () => {
    const bound = { metadata: { name: 'db-0' }, spec: { nodeName: 'n1' } };
    const probe = { metadata: { name: 'db-0', labels: { [RESTORE.probe]: RUN } } };
    for (const [pod, more] of [
      [bound, {}],
      [{ metadata: { name: 'web' } }, {}],
      [probe, {}],
      [
        { ...probe, metadata: { ...probe.metadata, labels: { [RESTORE.probe]: 'other' } } },
        { dryRun: true },
      ],
      [{ metadata: { name: 'db-0' } }, { operation: 'UPDATE' }],
      [{ metadata: { name: 'db-0' } }, { kind: { kind: 'PodTemplate' } }],
    ] as const) {
      const { result, answer } = ask(pod, state(), more);
      expect(result).toBe('passed');
      expect(answer.response).toEqual({ uid: 'u1', allowed: true });
    }
  });

  it('shows the verb, on a dry run of its probe, that the webhook gates', () => {
    const probe = { metadata: { name: 'probe', labels: { [RESTORE.probe]: RUN } } };
    expect(ask(probe, state(), { dryRun: true }).pod.spec?.schedulingGates).toEqual([
      { name: RESTORE.gate },
    ]);
    expect(ask(probe, state({ alive: false }), { dryRun: true }).result).toBe('abandoned');
  });

  it('passes with a warning once the run gives no sign of life, and says so but on a dry run', () => {
    const { result, events, answer, pod } = ask(
      { metadata: { name: 'db-0' } },
      state({ alive: false }),
    );
    expect(result).toBe('abandoned');
    expect(pod.spec?.schedulingGates).toBeUndefined();
    expect(answer.response.warnings?.[0]).toContain(RUN);
    expect(events).toMatchObject([{ code: 'RestoreAbandoned' }]);
    expect(events[0]?.message).toContain(`--resume ${RUN}`);
    const dry = ask({ metadata: { name: 'db-0' } }, state({ alive: false }), { dryRun: true });
    expect(dry.events).toEqual([]);
  });

  it('is refused while nobody can tell its layer', () => {
    const broken = { ...state(), annotations: { [RESTORE.stages]: '{' } };
    const { answer, result } = ask({ metadata: { name: 'db-0' } }, broken);
    expect(result).toBe('unclear');
    expect(answer.response).toMatchObject({ allowed: false, status: { code: 503 } });
    expect(ask({ metadata: { name: 'db-0' } }, { ...broken, alive: false }).result).toBe(
      'abandoned',
    );
  });

  it('is told which run it is of, gated or not, so that its volumes count as restored', () => {
    const pod = { metadata: { name: 'db-0', annotations: { own: '1' } } };
    for (const given of [state(), state({ released: '0' }), state({ alive: false })]) {
      const told = ask(pod, given).pod.metadata?.annotations;
      expect(told).toEqual({ own: '1', 'quiesce.dev/restore-name': RUN });
    }
    const label = { 'velero.io/restore-name': RUN };
    const byVelero = { metadata: { name: 'db-0', labels: label } };
    expect(ask(byVelero, state()).pod.metadata).toEqual({ name: 'db-0', labels: label });
    expect(ask({ metadata: { name: 'web' } }, state()).pod.metadata).toEqual({ name: 'web' });
  });

  it('is asked about for nothing after the run', () => {
    const none = { run: undefined, alive: false, annotations: {} };
    expect(ask({ metadata: { name: 'db-0' } }, none).result).toBe('passed');
  });

  it('gets the same sidecar and gate in either order', () => {
    const given = postgresPod({});
    const injected = (pod: Pod): Pod => {
      const body = {
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        request: { uid: 'u', kind: { kind: 'Pod' }, operation: 'CREATE', object: pod },
      };
      const { patch = '' } = answerReview(body, CONFIG, 'Fail').answer.response;
      if (patch === '') return pod;
      return applyPatch(pod, JSON.parse(Buffer.from(patch, 'base64').toString()) as never) as Pod;
    };
    const gated = (pod: Pod): Pod => ask(pod, state()).pod;
    // What the gate says of the run makes the injection, which sees the pod again, prepare the volume.
    const one = injected(gated(injected(given)));
    expect(injected(one)).toEqual(one);
    expect(gated(one)).toEqual(one);
    expect(injected(gated(given))).toEqual(one);
    expect(one.spec?.initContainers?.map(({ name }) => name)).toEqual(['quiesce-prepare-restore']);
    expect(one.spec?.schedulingGates).toEqual([{ name: RESTORE.gate }]);
    expect(one.spec?.containers?.at(-1)?.name).toBe('quiesce');
  });
});

describe('whether a run is alive', () => {
  const seen = (version: string, holder: string | undefined = RUN) => ({
    version,
    holder,
    durationMs: 15_000,
  });

  it('is judged by what changes between looks, not by when they are', () => {
    const leases = new LeaseSightings();
    expect(leases.alive('shop/l', RUN)).toBeUndefined();
    leases.note('shop/l', seen('1'), 0);
    expect(leases.alive('shop/l', RUN)).toBe(true);
    leases.note('shop/l', seen('1'), 14_999);
    expect(leases.alive('shop/l', RUN)).toBe(true);
    leases.note('shop/l', seen('1'), 15_000);
    expect(leases.alive('shop/l', RUN)).toBe(false);
    leases.note('shop/l', seen('2'), 90_000);
    expect(leases.alive('shop/l', RUN)).toBe(true);
  });

  it('does not change while nobody can look', () => {
    const leases = new LeaseSightings();
    leases.note('shop/l', seen('1'), 0);
    expect(leases.alive('shop/l', RUN)).toBe(true);
    leases.note('shop/l', seen('2'), 600_000);
    expect(leases.alive('shop/l', RUN)).toBe(true);
  });

  it('ends with the Lease, with its release, and with another holder', () => {
    const leases = new LeaseSightings();
    leases.note('shop/l', undefined, 0);
    expect(leases.alive('shop/l', RUN)).toBe(false);
    leases.note('shop/l', { ...seen('1'), holder: undefined }, 1);
    expect(leases.alive('shop/l', RUN)).toBe(false);
    leases.note('shop/l', seen('2', 'other'), 2);
    expect(leases.alive('shop/l', RUN)).toBe(false);
  });
});
