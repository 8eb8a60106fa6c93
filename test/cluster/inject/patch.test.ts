import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { INJECT_FLAGS, readInjectConfig } from '../../../src/cluster/inject/flags.ts';
import { strategicMerge } from '../../../src/cluster/objects/strategic-merge.ts';
import { readFlags } from '../../../src/lib/command-line/read-flags.ts';
import type { Pod } from '../../../src/cluster/objects/pod.ts';
import { applyPatch, CONFIG, postgresPod } from '../../support/pods.ts';

const config = (...args: readonly string[]) =>
  readInjectConfig(
    'inject',
    readFlags('inject', INJECT_FLAGS, ['--image', 'quiesce:1', ...args]).values,
  );

function injected(pod: Pod, given: ReturnType<typeof config>): Pod {
  const result = inject(pod, given);
  if (result.outcome !== 'injected') throw new Error(JSON.stringify(result));
  expect(applyPatch(pod, result.patch)).toEqual(result.pod);
  expect(inject(result.pod, given)).toMatchObject({ patch: [] });
  return result.pod;
}

describe('what a cluster demands', () => {
  const demand = {
    container: {
      resources: { limits: { 'ephemeral-storage': '100Mi' } },
      env: [{ name: 'HTTPS_PROXY', value: 'http://proxy' }],
      securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'p.json' } },
      startupProbe: { exec: { command: ['true'] } },
    },
    pod: {
      metadata: { labels: { 'cost-center': 'db' }, annotations: { 'a.example/b': 'c' } },
      spec: { tolerations: [{ operator: 'Exists' }], priorityClassName: 'high' },
    },
  };

  it('is added to the sidecar, its init container and the pod, and needs no second patch', () => {
    const given = config('--sidecar-patch', JSON.stringify(demand), '--memory-limit', '300Mi');
    const pod = injected(postgresPod({ labels: { 'velero.io/restore-name': 'r' } }), given);
    const sidecar = pod.spec?.containers?.at(-1);
    const init = pod.spec?.initContainers?.at(-1);
    expect(sidecar?.env).toContainEqual(demand.container.env[0]);
    expect(init?.env).toContainEqual(demand.container.env[0]);
    expect(sidecar).toMatchObject({
      securityContext: demand.container.securityContext,
      startupProbe: demand.container.startupProbe,
      resources: { limits: { 'ephemeral-storage': '100Mi', memory: '300Mi' } },
    });
    expect(init?.resources?.limits).toEqual({ 'ephemeral-storage': '100Mi', memory: '300Mi' });
    expect(init).not.toHaveProperty('startupProbe');
    expect(pod).toMatchObject({
      metadata: { labels: { app: 'db', 'cost-center': 'db' }, annotations: { 'a.example/b': 'c' } },
      spec: { tolerations: [{ operator: 'Exists' }], priorityClassName: 'high' },
    });
  });

  it('may be a pull Secret, beside those of the pod', () => {
    const given = config('--image-pull-secret', 'internal', '--image-pull-secret', 'second');
    const own = postgresPod({ spec: { imagePullSecrets: [{ name: 'docker-hub' }] } });
    const names = (pod: Pod) => pod.spec?.imagePullSecrets?.map(({ name }) => name);
    expect(names(injected(own, given))).toEqual(['docker-hub', 'internal', 'second']);
    expect(names(injected(postgresPod({}), given))).toEqual(['internal', 'second']);
    expect(names(injected(postgresPod({}), config()))).toBeUndefined();
  });

  it('may be a CPU limit', () => {
    const pod = injected(postgresPod({}), config('--cpu-limit', '200m'));
    expect(pod.spec?.containers?.at(-1)?.resources?.limits).toEqual({
      cpu: '200m',
      memory: '256Mi',
    });
  });

  it.each([
    ['--sidecar-patch', 'container', /must be JSON/],
    ['--sidecar-patch', '[]', /must be a JSON object/],
    ['--sidecar-patch', '{"containers": {}}', /has the key "containers"/],
    ['--sidecar-patch', '{"container": 1}', /must have an object as container/],
    ['--sidecar-patch', '{"container": {"image": "x"}}', /must not set image/],
    ['--sidecar-patch', '{"pod": {"spec": {"containers": []}}}', /must not set spec\.containers/],
    ['--cpu-limit', '0', /must be a quantity/],
    ['--cpu-limit', '5m', /--cpu-request must not be more than --cpu-limit/],
    ['--image-pull-secret', 'A B', /cannot be/],
    ['--run-as-user', 'me', /must be image or platform/],
  ])('is refused with a sentence: %s %s', (flag, value, message) => {
    expect(() => config(flag, value)).toThrow(message);
  });
});

describe('a strategic merge', () => {
  it('merges lists of Kubernetes by their keys, and replaces others', () => {
    const target = {
      env: [
        { name: 'a', value: '1' },
        { name: 'b', value: '2' },
      ],
      args: ['x'],
      ports: [{ containerPort: 1, name: 'one' }],
      extra: { keep: 1, drop: 2 },
    };
    const patch = {
      env: [
        { name: 'b', value: '3' },
        { name: 'c', value: '4' },
        { name: 'a', $patch: 'delete' },
      ],
      args: ['y'],
      ports: [{ containerPort: 1, protocol: 'TCP' }],
      extra: { drop: null, add: 3 },
    };
    expect(strategicMerge(target, patch)).toEqual({
      env: [
        { name: 'b', value: '3' },
        { name: 'c', value: '4' },
      ],
      args: ['y'],
      ports: [{ containerPort: 1, name: 'one', protocol: 'TCP' }],
      extra: { keep: 1, add: 3 },
    });
    expect(strategicMerge({ a: { b: 1 } }, { a: { $patch: 'replace', c: 2 } })).toEqual({
      a: { c: 2 },
    });
  });

  it('never changes its arguments', () => {
    const target = { env: [{ name: 'a', value: '1' }] };
    strategicMerge(target, { env: [{ name: 'a', value: '2' }] });
    expect(target).toEqual({ env: [{ name: 'a', value: '1' }] });
    expect(CONFIG).not.toHaveProperty('patch');
  });
});
