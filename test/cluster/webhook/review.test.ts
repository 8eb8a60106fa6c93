import { describe, expect, it } from 'vitest';
import { answerReview } from '../../../src/cluster/webhook/review.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { applyPatch, CONFIG, postgresPod } from '../../support/pods.ts';

const review = (object: unknown, more: object = {}): object => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u1',
    kind: { kind: 'Pod' },
    operation: 'CREATE',
    namespace: 'shop',
    object,
    ...more,
  },
});

describe('an AdmissionReview', () => {
  it('is answered with a patch for a pod that opted in', () => {
    const pod = postgresPod({});
    const { answer, result, events } = answerReview(review(pod), CONFIG, 'Ignore');
    expect(answer).toMatchObject({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u1', allowed: true, patchType: 'JSONPatch' },
    });
    expect(answer.response).not.toHaveProperty('warnings');
    expect(result).toBe('injected');
    expect(events).toEqual([]);
    const patch = JSON.parse(
      Buffer.from(answer.response.patch ?? '', 'base64').toString(),
    ) as never;
    const patched = applyPatch(pod, patch) as Pod;
    expect(patched.spec?.containers?.at(-1)?.name).toBe('quiesce');
    const again = answerReview(review(patched), CONFIG, 'Ignore');
    expect(again.result).toBe('unchanged');
    expect(again.answer.response).not.toHaveProperty('patch');
  });

  it('of a pod with invalid annotations is admitted with a warning, or refused with Fail', () => {
    const pod = postgresPod({ annotations: { 'quiesce.dev/copy': 'clone' } });
    const ignored = answerReview(review(pod), CONFIG, 'Ignore');
    expect(ignored.answer.response).toMatchObject({ allowed: true });
    expect(ignored.answer.response.warnings?.[0]).toMatch(
      /no sidecar was added.*quiesce\.dev\/copy/,
    );
    expect(ignored.answer.response).not.toHaveProperty('patch');
    expect(ignored.events).toMatchObject([{ code: 'InvalidAnnotation' }]);
    const failed = answerReview(review(pod), CONFIG, 'Fail');
    expect(failed.answer.response).toMatchObject({ allowed: false, status: { code: 422 } });
    expect(failed.answer.response.status?.message).toContain('quiesce.dev/copy');
  });

  it('of a Job’s pod is admitted unchanged, with a warning', () => {
    const { answer, result } = answerReview(
      review(postgresPod({ spec: { restartPolicy: 'Never' } })),
      CONFIG,
      'Fail',
    );
    expect(result).toBe('skipped');
    expect(answer.response.allowed).toBe(true);
    expect(answer.response.warnings).toHaveLength(1);
  });

  it('of a dry run has no effect outside its answer', () => {
    const pod = postgresPod({ annotations: { 'quiesce.dev/copy': 'clone' } });
    expect(answerReview(review(pod, { dryRun: true }), CONFIG, 'Ignore').events).toEqual([]);
  });

  it('of a malformed pod is admitted without a patch', () => {
    const labels = { 'quiesce.dev/inject': 'true' };
    const odd = [
      { metadata: { labels }, spec: { containers: 'x' } },
      { metadata: { labels }, spec: { containers: [null] } },
      { metadata: { labels, annotations: { 'quiesce.dev/engine': 7 } }, spec: {} },
      { metadata: { labels }, spec: { containers: [{ name: 'a', image: 'postgres', env: {} }] } },
      { metadata: null },
      null,
    ];
    for (const pod of odd) {
      const { answer } = answerReview(review(pod), CONFIG, 'Ignore');
      expect(answer.response.allowed).toBe(true);
      expect(answer.response).not.toHaveProperty('patch');
    }
  });

  it.each([
    [undefined],
    [{}],
    [{ apiVersion: 'admission.k8s.io/v1beta1', kind: 'AdmissionReview', request: {} }],
    [{ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' }],
  ])('is refused if the body is something else: %j', (body) => {
    expect(() => answerReview(body, CONFIG, 'Ignore')).toThrow(/is not an AdmissionReview/);
  });

  it('of anything but the creation of a pod is admitted unchanged', () => {
    for (const more of [{ operation: 'UPDATE' }, { kind: { kind: 'Service' } }]) {
      const { answer } = answerReview(review(postgresPod({}), more), CONFIG, 'Fail');
      expect(answer.response).toEqual({ uid: 'u1', allowed: true });
    }
  });
});
