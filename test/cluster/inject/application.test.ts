import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { injectManifest } from '../../../src/cluster/inject/manifest.ts';
import { ALIASES, APPLICATION } from '../../../src/cluster/objects/names.ts';
import { answerReview } from '../../../src/cluster/webhook/review.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

const NAMES = [...Object.values(APPLICATION), ...Object.values(ALIASES)];

const noticesOf = (annotations: Record<string, string>) => {
  const result = inject(postgresPod({ annotations }), CONFIG);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  expect(result.pod.spec?.containers?.at(-1)?.name).toBe('quiesce');
  expect(result.pod.metadata?.annotations).toMatchObject(annotations);
  return result.notices;
};

describe('the annotations of an application', () => {
  it.each([
    ['quiesce.dev/priority', ['high', 'normal', 'low', '0', '-3', '100']],
    ['backup.recovery.priority', ['high', 'low', '7']],
    ['quiesce.dev/order', ['0', '10', '-1']],
    ['backup.dependency.order', ['2']],
    ['quiesce.dev/group', ['shop', 'shop_2.eu']],
    ['quiesce.dev/stage', ['infrastructure', 'databases', 'messaging', 'applications']],
    [
      'quiesce.dev/depends-on',
      ['db', 'db, cache, other-ns/queue', 'sts/db', 'svc/db,deploy/web', 'StatefulSet/db', 'a.b'],
    ],
    [
      'quiesce.dev/state',
      ['cache=rebuild', 'cache=rebuild, tmp=discard, uploads=keep', '(memory)=discard'],
    ],
    ['quiesce.dev/freeze', ['none']],
    ['quiesce.dev/verify-sql', ['select count(*) > 0 from orders']],
    ['quiesce.dev/verify-http', ['http://127.0.0.1:8080/healthz', '/healthz']],
  ])('%s accepts every form: %j', (name, values) => {
    for (const value of values) expect([value, noticesOf({ [name]: value })]).toEqual([value, []]);
  });

  it.each([
    ['quiesce.dev/priority', 'urgent', /high, normal, low or a whole number/],
    ['backup.recovery.priority', '1.5', /high, normal, low or a whole number/],
    ['quiesce.dev/order', 'first', /whole number/],
    ['backup.dependency.order', 'first', /whole number/],
    ['quiesce.dev/group', 'a b', /label value/],
    ['quiesce.dev/stage', 'database', /infrastructure, databases, messaging, applications/],
    ['quiesce.dev/depends-on', 'db; cache', /"db; cache" is not a name/],
    ['quiesce.dev/depends-on', 'db,,cache', /"" is not a name/],
    ['quiesce.dev/depends-on', 'a/b/c', /"a\/b\/c" is not a name/],
    ['quiesce.dev/depends-on', 'Some_Ns/db', /is not a name/],
    ['quiesce.dev/state', 'cache', /"cache" is invalid/],
    ['quiesce.dev/state', 'cache=drop', /rebuild, discard, keep: "cache=drop" is invalid/],
    ['quiesce.dev/state', 'a=keep, a=discard', /both keep and discard for a/],
    ['quiesce.dev/freeze', 'false', /must be none/],
    ['quiesce.dev/verify-sql', '', /is empty/],
    ['quiesce.dev/whatever', 'x', /is not an annotation of quiesce \(annotation ignored\)/],
    ['quiesce.dev/dependson', 'db', /did you mean quiesce\.dev\/depends-on\?/],
    ['quiesce.dev/Priority', 'high', /did you mean quiesce\.dev\/priority\?/],
  ])('%s=%s is reported, and the sidecar is still added', (name, value, message) => {
    const notices = noticesOf({ [name]: value });
    expect(notices.map(({ code }) => code)).toEqual(['AnnotationIgnored']);
    expect(notices[0]?.message).toMatch(message);
    expect(notices[0]?.message).toContain(name);
  });

  it('never keep the sidecar out, whatever their values', () => {
    const value = fc.oneof(fc.string(), fc.constantFrom('', 'high', 'none', 'a=keep', 'db, x/y'));
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...NAMES), value), (annotations) => {
        noticesOf(annotations);
      }),
    );
  });

  it('are reported by the webhook, which admits the pod with its sidecar', () => {
    const pod = postgresPod({ annotations: { 'backup.recovery.priority': 'urgent' } });
    const request = { uid: '1', kind: { kind: 'Pod' }, operation: 'CREATE', object: pod };
    const body = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
    for (const policy of ['Ignore', 'Fail'] as const) {
      const { result, events, answer } = answerReview(body, CONFIG, policy);
      expect(result).toBe('injected');
      expect(answer.response).toMatchObject({ allowed: true, patchType: 'JSONPatch' });
      expect(answer.response.warnings?.[0]).toMatch(/^quiesce: backup\.recovery\.priority must be/);
      expect(events).toMatchObject([{ code: 'AnnotationIgnored' }]);
    }
  });
});

describe('an unknown annotation', () => {
  it.each([
    ['quiesce.dev/coppy', 'quiesce.dev/copy'],
    ['quiesce.dev/coyp', 'quiesce.dev/copy'],
    ['quiesce.dev/hookTimeout', 'quiesce.dev/hook-timeout'],
    ['quiesce.dev/engin', 'quiesce.dev/engine'],
    ['quiesce.dev/tll', 'quiesce.dev/ttl'],
    ['quiesce.dev/credentials_secret', 'quiesce.dev/credentials-secret'],
    ['quiesce.dev/credential', undefined],
    ['quiesce.dev/copy-method', undefined],
    ['quiesce.dev/freeze-timeout', undefined],
  ])('that was meant for the sidecar is refused: %s', (key, meant) => {
    const result = inject(postgresPod({ annotations: { [key]: 'files' } }), CONFIG);
    if (result.outcome !== 'invalid') throw new Error(JSON.stringify(result));
    const suggestion = meant === undefined ? '' : `; did you mean ${meant}?`;
    const message = `is not an annotation of quiesce${suggestion}`;
    expect(result.issues).toEqual([{ field: key, message }]);
  });
});

describe('annotations of a workload in a manifest', () => {
  const manifest = (workload: object, template: object): string =>
    JSON.stringify({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', annotations: workload },
      spec: {
        template: {
          metadata: { labels: { 'quiesce.dev/inject': 'true' }, annotations: template },
          spec: postgresPod({}).spec,
        },
      },
    });
  const noticesFor = (workload: object, template: object = {}) => {
    const [report] = injectManifest(manifest(workload, template), CONFIG).reports;
    expect(report?.outcome).toBe('injected');
    return report?.notices ?? [];
  };

  it('are checked like those of the template', () => {
    expect(
      noticesFor({ 'backup.recovery.priority': 'high', 'quiesce.dev/depends-on': 'db' }),
    ).toEqual([]);
    expect(noticesFor({ 'quiesce.dev/stage': 'db' })).toMatchObject([
      { code: 'AnnotationIgnored' },
    ]);
  });

  it('apply if the template has different values, and the difference is reported', () => {
    const template = { 'quiesce.dev/order': '2', 'quiesce.dev/depends-on': 'a,b' };
    const workload = { 'backup.dependency.order': '1', 'quiesce.dev/depends-on': 'a, b' };
    const notices = noticesFor(workload, template);
    expect(notices.map(({ code }) => code)).toEqual(['AnnotationsDiffer']);
    expect(notices[0]?.message).toBe(
      'backup.dependency.order is "1" on the workload and "2" on its pod template (quiesce.dev/order): the workload\'s value applies',
    );
    expect(noticesFor({ 'backup.dependency.order': '2' }, template)).toEqual([]);
  });
});
