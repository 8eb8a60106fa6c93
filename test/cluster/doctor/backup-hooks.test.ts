import { describe, expect, it } from 'vitest';
import { inject } from '../../../src/cluster/inject/inject.ts';
import { CONFIG, postgresPod } from '../../support/pods.ts';
import { codes, findingsOf as allFindingsOf } from './support.ts';

const velero = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'velero', namespace: 'velero' },
  spec: {
    template: { spec: { containers: [{ name: 'velero', image: 'velero/velero:v1.18.3' }] } },
  },
};
const findingsOf = (objects: readonly object[]) => allFindingsOf([velero, ...objects]);

const hook = (command: readonly string[], container = 'quiesce') => ({
  exec: { container, command },
});
const FREEZE = hook(['quiesce', 'freeze']);
const THAW = hook(['quiesce', 'thaw']);

/** A pod with a sidecar, and only those hook annotations that match `keep`. */
function pod(keep: RegExp, more: { annotations?: object; containers?: readonly object[] } = {}) {
  const injected = inject(postgresPod({}), CONFIG);
  if (injected.outcome !== 'injected') throw new Error('not injected');
  const { metadata, spec } = injected.pod;
  const kept = Object.entries(metadata?.annotations ?? {}).filter(
    ([key]) => !key.includes('.hook.backup.') || keep.test(key),
  );
  const annotations = { ...Object.fromEntries(kept), ...more.annotations };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, namespace: 'shop', annotations },
    spec: { ...spec, containers: [...(spec?.containers ?? []), ...(more.containers ?? [])] },
  };
}
const NONE = /^$/;
const BOTH = /./;

const schedule = (resources: readonly object[], template: object = {}) => ({
  apiVersion: 'velero.io/v1',
  kind: 'Schedule',
  metadata: { name: 'nightly', namespace: 'velero' },
  spec: { template: { includedNamespaces: ['shop'], ...template, hooks: { resources } } },
});

const both = (name: string, filter: object = {}, more: object = {}) => ({
  name,
  ...filter,
  pre: [FREEZE],
  post: [THAW],
  ...more,
});

/** The messages of HOOK_TWICE. Fails if there is any other finding. */
function twice(...objects: readonly object[]): readonly string[] {
  const found = findingsOf(objects);
  expect(codes(found).filter((code) => code !== 'HOOK_TWICE')).toEqual([]);
  return found.map(({ message }) => message);
}

describe('for a pod that two hooks of a backup match, the doctor', () => {
  it('reports both verbs, and where their hooks are defined', () => {
    expect(twice(pod(NONE), schedule([both('a'), both('b')]))).toEqual([
      'In a backup of velero Schedule/nightly, quiesce freeze runs twice in its pods: by pre[0] of a in spec.hooks, then by pre[0] of b in spec.hooks.',
      'In a backup of velero Schedule/nightly, quiesce thaw runs twice in its pods: by post[0] of a in spec.hooks, then by post[0] of b in spec.hooks.',
    ]);
  });

  it('reports nothing for a phase for which the pod has an annotation', () => {
    const resources = [both('a'), both('b')];
    expect(twice(pod(BOTH), schedule(resources))).toEqual([]);
    const [only, ...others] = twice(pod(/^pre\./), schedule(resources));
    expect([only, others]).toEqual([expect.stringContaining('quiesce thaw runs twice'), []]);
    expect(twice(pod(/^pre\./), schedule([both('a')]))).toEqual([]);
    expect(twice(pod(/^post\./), schedule([both('a')]))).toEqual([]);
    const legacy = { 'hook.backup.velero.io/command': '["quiesce","freeze"]' };
    expect(twice(pod(/^post\./, { annotations: legacy }), schedule(resources))).toEqual([]);
  });

  it.each([
    ['its namespace', { includedNamespaces: ['shop'] }],
    ['a pattern of its namespace', { includedNamespaces: ['sh*'] }],
    ['every namespace', { includedNamespaces: ['*'] }],
    ['other excluded namespaces', { excludedNamespaces: ['blog'] }],
    ['pods', { includedResources: ['po'] }],
    ['every resource', { includedResources: ['*'] }],
    ['other excluded resources', { excludedResources: ['secrets'] }],
    ['its label', { labelSelector: { matchLabels: { app: 'db' } } }],
    ['an empty selector', { labelSelector: {} }],
    [
      'an expression',
      { labelSelector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
    ],
  ])('counts a hook that matches by %s', (_, filter) => {
    const resources = [both('a'), both('b', filter)];
    expect(twice(pod(NONE), schedule(resources))).toHaveLength(2);
  });

  it.each([
    ['another namespace', { includedNamespaces: ['blog'] }],
    ['its excluded namespace', { includedNamespaces: ['*'], excludedNamespaces: ['shop'] }],
    ['claims', { includedResources: ['persistentvolumeclaims'] }],
    ['excluded pods', { excludedResources: ['pods'] }],
    ['another label', { labelSelector: { matchLabels: { app: 'web' } } }],
  ])('does not count a hook that is limited to %s', (_, filter) => {
    expect(twice(pod(NONE), schedule([both('a'), both('b', filter)]))).toEqual([]);
  });

  it('examines the Schedules and Backups that include the pod, and no others', () => {
    const resources = [both('a'), both('b')];
    const of = (kind: string, spec: object, status?: object) => ({
      apiVersion: 'velero.io/v1',
      kind,
      metadata: { name: 'once', namespace: 'velero' },
      spec,
      status,
    });
    const hooks = { includedNamespaces: ['shop'], hooks: { resources } };
    expect(twice(pod(BOTH), of('Backup', hooks))).toEqual([]);
    expect(twice(pod(NONE), of('Backup', hooks))).toHaveLength(2);
    const first = [both('a')];
    for (const template of [
      { includedNamespaces: ['blog'] },
      { excludedResources: ['pods'] },
      { includedNamespaceScopedResources: ['secrets'] },
      { excludedNamespaceScopedResources: ['po'] },
      { labelSelector: { matchLabels: { app: 'web' } } },
    ]) {
      expect(twice(pod(NONE), schedule(first), of('Backup', { ...hooks, ...template }))).toEqual(
        [],
      );
    }
    const done = of('Backup', hooks, { phase: 'Completed' });
    expect(twice(pod(NONE), schedule(first), done)).toEqual([]);
    const paused = of('Schedule', { paused: true, template: hooks });
    expect(twice(pod(NONE), schedule(first), paused)).toEqual([]);
  });

  it('recognizes a call by a path, through a shell or over HTTP, also from another container', () => {
    for (const command of [
      ['/usr/bin/quiesce', 'thaw', '--id', 'x'],
      ['/bin/sh', '-c', 'sync; /opt/quiesce thaw || true'],
      ['curl', '-XPOST', 'http://127.0.0.1:8095/v1/thaw'],
    ]) {
      const second = { name: 'b', post: [hook(command, 'postgres')] };
      expect([command, twice(pod(NONE), schedule([both('a'), second]))]).toEqual([
        command,
        [expect.stringContaining('quiesce thaw runs twice')],
      ]);
    }
    const one = both('a', {}, { post: [THAW, THAW] });
    expect(twice(pod(NONE), schedule([one]))[0]).toContain(
      'post[0] of a in spec.hooks, then by post[1]',
    );
  });

  it('ignores commands that cannot take the success of another thaw', () => {
    for (const command of [
      ['quiesce', 'thaw', '--abandon'],
      ['curl', '-d', '{"abandon": true}', 'http://127.0.0.1:8095/v1/thaw'],
      ['quiesce', 'status'],
      ['psql', '-c', 'checkpoint'],
      ['sh', '-c', 'echo thaw quiesced'],
    ]) {
      const second = { name: 'b', post: [hook(command)] };
      expect([command, twice(pod(NONE), schedule([both('a'), second]))]).toEqual([command, []]);
    }
    const renewal = { name: 'b', pre: [hook(['quiesce', 'freeze', '--renew', '--id', 'x'])] };
    expect(twice(pod(NONE), schedule([both('a'), renewal]))).toEqual([]);
  });

  it('reports a workload once, with its running pods', () => {
    const { metadata, spec } = pod(NONE);
    const owner = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      name: 'db',
      uid: '1',
      controller: true,
    };
    const running = (name: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, name, uid: name, ownerReferences: [owner] },
      spec,
      status: { phase: 'Running' },
    });
    const set = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: 'shop' },
      spec: { template: { metadata: postgresPod({}).metadata, spec: postgresPod({}).spec } },
    };
    const second = { name: 'b', post: [THAW] };
    const resources = [set, running('db-0'), running('db-1'), schedule([both('a'), second])];
    expect(findingsOf(resources)).toMatchObject([
      {
        code: 'HOOK_TWICE',
        severity: 'error',
        object: { kind: 'StatefulSet', name: 'db', namespace: 'shop' },
        pods: ['db-0', 'db-1'],
      },
    ]);
  });

  it('keeps two sidecars of one pod apart', () => {
    const other = {
      name: 'quiesce-cache',
      image: CONFIG.image,
      args: ['sidecar'],
      env: [{ name: 'QUIESCE_ENGINE', value: 'redis' }],
    };
    const forOther = {
      name: 'b',
      pre: [hook(['quiesce', 'freeze'], 'quiesce-cache')],
      post: [hook(['quiesce', 'thaw'], 'quiesce-cache')],
    };
    const two = pod(NONE, { containers: [other] });
    expect(twice(two, schedule([both('a'), forOther]))).toEqual([]);
  });
});

describe('for a pod whose hooks come from its backups, the doctor', () => {
  it('reports no missing hooks if every backup has them', () => {
    expect(codes(findingsOf([pod(NONE), schedule([both('a')])]))).toEqual([]);
    expect(codes(findingsOf([pod(NONE)]))).toEqual(['HOOKS_MISSING']);
    const [finding] = findingsOf([pod(NONE), schedule([])]);
    expect(finding).toMatchObject({ code: 'HOOKS_MISSING' });
    expect(finding?.message).toContain(
      'Nor does spec.hooks of velero Schedule/nightly run such a command.',
    );
  });

  it('reports the missing half, wherever the other one is defined', () => {
    const half = schedule([{ name: 'a', pre: [FREEZE] }]);
    const [finding, ...others] = findingsOf([pod(NONE), half]);
    expect(others).toEqual([]);
    expect(finding?.code).toBe('HOOK_HALF');
    expect(finding?.message).toBe(
      'In a backup of velero Schedule/nightly, quiesce freeze runs by pre[0] of a in spec.hooks, but quiesce thaw never runs.',
    );
    expect(codes(findingsOf([pod(/^pre\./), half]))).toEqual(['HOOK_HALF']);
    expect(codes(findingsOf([pod(/^pre\./)]))).toEqual(['HOOK_HALF']);
    expect(codes(findingsOf([pod(/^post\./), half]))).toEqual([]);
  });

  it('does not count a thaw with --abandon', () => {
    const abandon = ['quiesce', 'thaw', '--abandon'];
    const given = schedule([both('a', {}, { post: [hook(abandon)] })]);
    expect(codes(findingsOf([pod(NONE), given]))).toEqual(['HOOK_HALF']);
    const annotations = { 'post.hook.backup.velero.io/command': JSON.stringify(abandon) };
    const [finding, ...others] = findingsOf([pod(BOTH, { annotations })]);
    expect([finding?.code, others]).toEqual(['HOOK_COMMAND_INVALID', []]);
    expect(finding?.message).toContain('abandons the freeze (--abandon)');
  });
});

describe('for hooks of a backup that do not call quiesce, the doctor', () => {
  const flush = (container?: string) => ({
    name: 'flush',
    pre: [{ exec: { command: ['psql', '-c', 'checkpoint'], ...(container ? { container } : {}) } }],
  });

  it('reports those that an annotation replaces', () => {
    const [finding, ...others] = findingsOf([pod(BOTH), schedule([flush('nobody')])]);
    expect([finding?.code, others]).toEqual(['HOOK_REPLACED', []]);
    expect(finding?.message).toBe(
      'In a backup of velero Schedule/nightly, the hook pre[0] of flush in spec.hooks does not run in its pods: pre.hook.backup.velero.io/command replaces it.',
    );
    // The same work, done by the annotation.
    expect(codes(findingsOf([pod(BOTH), schedule([both('a')])]))).toEqual([]);
    expect(codes(findingsOf([pod(/^post\./), schedule([both('a'), flush()])]))).toEqual([]);
  });

  it('reports those whose container is missing in any matching pod', () => {
    const web = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } },
      spec: { containers: [{ name: 'nginx', image: 'nginx' }] },
    };
    const of = (...resources: object[]) => codes(findingsOf([web, schedule(resources)]));
    expect(of(flush('postgres'))).toEqual(['HOOK_TARGET_MISSING']);
    expect(of(flush('nginx'), flush())).toEqual([]);
    expect(of({ ...flush('postgres'), includedNamespaces: ['blog'] })).toEqual([]);
    expect(of({ ...flush('postgres'), labelSelector: { matchLabels: { app: 'db' } } })).toEqual([]);
  });
});

describe('for Schedules that include no pods, the doctor', () => {
  it.each([
    { includedNamespaceScopedResources: ['persistentvolumeclaims'] },
    { excludedNamespaceScopedResources: ['*'] },
    { excludedResources: ['po'] },
    { includedNamespaces: ['*'], excludedNamespaces: ['sh*'] },
  ])('reports that they do not back up the workload: %j', (template) => {
    const found = allFindingsOf([velero, pod(BOTH), schedule([], template)], { scope: 'set' });
    expect(codes(found)).toContain('NOT_SCHEDULED');
    const taken = allFindingsOf([velero, pod(BOTH), schedule([])], { scope: 'set' });
    expect(codes(taken)).not.toContain('NOT_SCHEDULED');
  });
});
