import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { injectManifest } from '../../../src/cluster/inject/manifest.ts';
import { namespaceRules } from '../../../src/cluster/inject/namespace-rules.ts';
import type { InjectConfig } from '../../../src/cluster/inject/options.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';

const quota = (hard: object, more: object = {}, used?: object) => ({
  kind: 'ResourceQuota',
  metadata: { name: 'hard' },
  spec: { hard, ...more },
  ...(used ? { status: { hard, used } } : {}),
});
const range = (limit: object, type = 'Container') => ({
  kind: 'LimitRange',
  metadata: { name: 'range' },
  spec: { limits: [{ type, ...limit }] },
});

function injected(objects: readonly object[], pod = postgresPod({}), config = CONFIG) {
  const result = inject(pod, config, namespaceRules(objects));
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  const sidecar = result.pod.spec?.containers?.at(-1);
  return { ...result, sidecar, said: result.notices.map(({ message }) => message).join('\n') };
}

describe('a ResourceQuota', () => {
  it('that counts limits gives the sidecar what it demands, so that the pod is not refused', () => {
    expect(injected([quota({ 'limits.cpu': '2' })]).sidecar?.resources?.limits?.['cpu']).toBe('1');
    const storage = injected([quota({ 'limits.ephemeral-storage': '9Gi' })]).sidecar?.resources;
    expect(storage?.limits?.['ephemeral-storage']).toBe('1Gi');
    expect(storage?.requests?.['ephemeral-storage']).toBe('64Mi');
    const asked = injected([quota({ 'requests.ephemeral-storage': '9Gi' })]).sidecar?.resources;
    expect(asked?.requests?.['ephemeral-storage']).toBe('64Mi');
    expect(asked?.limits).not.toHaveProperty('ephemeral-storage');
  });

  it('changes nothing if it counts something else, or other pods', () => {
    for (const objects of [
      [quota({ 'requests.cpu': '2', 'limits.memory': '4Gi', pods: '9' })],
      [quota({ 'limits.cpu': '2' }, { scopes: ['BestEffort'] })],
      [quota({ 'limits.cpu': '2' }, { scopes: ['Terminating'] })],
      [quota({ 'limits.cpu': '2' }), range({ default: { cpu: '100m' } })],
      [quota({ 'limits.cpu': '2' }), range({ max: { cpu: '4' } })],
      [
        quota(
          { 'limits.cpu': '2' },
          {
            scopeSelector: {
              matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['batch'] }],
            },
          },
        ),
      ],
    ]) {
      const { sidecar, notices } = injected(objects);
      expect(sidecar?.resources?.limits).toEqual({ memory: '256Mi' });
      expect(notices).toEqual([]);
    }
  });

  it('whose rest is smaller than what the sidecar needs is told, with the value to lower', () => {
    const used = { 'limits.memory': '4000Mi', 'requests.memory': '1Gi' };
    const { said } = injected([
      quota({ 'limits.memory': '4Gi', 'requests.memory': '4Gi' }, {}, used),
    ]);
    expect(said).toMatch(/ResourceQuota hard refuses the pod.*sidecar\.resources\.limits\.memory/);
    expect(said).not.toContain('requests.memory');
  });
});

describe('a LimitRange', () => {
  it.each([
    [{ min: { memory: '128Mi' } }, 'Container', 'sidecar.resources.requests.memory', '128Mi'],
    [{ max: { memory: '128Mi' } }, 'Container', 'sidecar.resources.limits.memory', '128Mi'],
    [{ min: { cpu: '50m' } }, 'Container', 'sidecar.resources.requests.cpu', '50m'],
    [
      { maxLimitRequestRatio: { memory: '2' } },
      'Container',
      'sidecar.resources.requests.memory',
      '256Mi',
    ],
    [{ max: { memory: '200Mi' } }, 'Pod', 'sidecar.resources.limits.memory', '200Mi'],
  ])(
    'that refuses the pod is told with the value to set: %j for a %s',
    (limit, type, value, quantity) => {
      const { said } = injected([range(limit, type)]);
      expect(said).toContain('the LimitRange range refuses the pod');
      expect(said).toContain(value);
      expect(said).toContain(quantity);
      if (type === 'Pod') return;
      const [, kind, name] = /resources\.(\w+)\.(\w+)/.exec(value) ?? [];
      const key = `${name}${kind === 'limits' ? 'Limit' : 'Request'}`;
      const config = { ...CONFIG, [key]: quantity } as InjectConfig;
      expect(injected([range(limit, type)], postgresPod({}), config).notices).toEqual([]);
    },
  );

  it.each([
    [{ min: { memory: '64Mi' }, max: { memory: '256Mi' } }, 'Container'],
    [{ max: { memory: '4Gi', cpu: '4' } }, 'Pod'],
    [{ max: { storage: '10Gi' } }, 'PersistentVolumeClaim'],
  ])('that lets the pod through is not mentioned: %j for a %s', (limit, type) => {
    expect(injected([range(limit, type)]).notices).toEqual([]);
  });
});

describe('on OpenShift', () => {
  const manifest = (more: string, image = 'quay.io/sclorg/postgresql-15-c9s:latest') => `${more}---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: billing, namespace: team }
spec:
  template:
    metadata: { labels: { app: billing, quiesce.dev/inject: "true" } }
    spec:
      containers:
        - name: postgresql
          image: ${image}
          env: [{ name: POSTGRESQL_ADMIN_PASSWORD, value: p }]
          volumeMounts: [{ name: data, mountPath: /var/lib/pgsql/data }]
  volumeClaimTemplates: [{ metadata: { name: data } }]
`;
  const user = (text: string): unknown => /runAsUser: (\d+)/.exec(text)?.[1];

  it.each([
    'apiVersion: v1\nkind: Namespace\nmetadata: { name: team, annotations: { openshift.io/sa.scc.uid-range: 1000/10 } }\n',
    'apiVersion: route.openshift.io/v1\nkind: Route\nmetadata: { name: web, namespace: team }\nspec: {}\n',
  ])('no user is written: the platform chooses it (%#)', (more) => {
    const { text, reports } = injectManifest(manifest(more), CONFIG);
    expect(user(text)).toBeUndefined();
    expect(text).toContain('runAsNonRoot: true');
    expect(reports).toMatchObject([{ outcome: 'injected', notices: [] }]);
  });

  it('its own registry shows the platform, and a flag says so', () => {
    const own = 'image-registry.openshift-image-registry.svc:5000/openshift/postgresql:15';
    expect(user(injectManifest(manifest('', own), CONFIG).text)).toBeUndefined();
    const flagged = injectManifest(manifest('', 'postgres:17'), {
      ...CONFIG,
      runAsUser: 'platform',
    });
    expect(user(flagged.text)).toBeUndefined();
  });

  it('a user of an image that is made for OpenShift is told where nothing shows the platform', () => {
    const { text, reports } = injectManifest(manifest(''), CONFIG);
    expect(user(text)).toBe('26');
    expect(reports[0]?.notices).toMatchObject([{ code: 'UserOfImage' }]);
    const official = injectManifest(manifest('', 'postgres:17'), CONFIG);
    expect(official.reports[0]?.notices.map(({ code }) => code)).not.toContain('UserOfImage');
    const other =
      'apiVersion: v1\nkind: Namespace\nmetadata: { name: other, annotations: { openshift.io/sa.scc.uid-range: 1000/10 } }\n';
    expect(user(injectManifest(manifest(other), CONFIG).text)).toBe('26');
  });

  it('the user that a pod declares stays', () => {
    const pod: Pod = postgresPod({ spec: { securityContext: { runAsUser: 1_000_920_000 } } });
    const { sidecar } = injected([], pod, { ...CONFIG, runAsUser: 'platform' });
    expect(sidecar?.securityContext?.runAsUser).toBe(1_000_920_000);
  });
});
