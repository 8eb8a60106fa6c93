import { describe, expect, test } from 'vitest';
import {
  ago,
  cause,
  codes,
  condition,
  eventOf,
  look,
  memberOf,
  objectOf,
  podOf,
  statefulSet,
  troubled,
  UNREADY,
  waiting,
} from './support.ts';

const set = statefulSet({}, UNREADY);
const NOT_READY = [condition('PodScheduled', 'True'), condition('Ready', 'False')];
const running = { state: { running: {} }, ready: false, started: true };
const ended = (exitCode: number, more: object = {}) => ({
  terminated: { exitCode, reason: 'Error', ...more },
});
const crash = (exitCode: number, restartCount: number, more: object = {}) => ({
  ...waiting('CrashLoopBackOff', 'back-off 40s restarting failed container'),
  lastState: ended(exitCode, more),
  restartCount,
});
const says = (...lines: readonly string[]) => ({ logs: { 'shop/db-0/main': lines } });
const fresh = { metadata: { creationTimestamp: ago(20) } };

describe('a pod without a node', () => {
  const pod = (
    message: string,
    more: object = {},
    metadata: Readonly<Record<string, unknown>> = {},
  ) =>
    podOf({
      metadata,
      spec: { nodeName: undefined, ...more },
      status: {
        phase: 'Pending',
        containerStatuses: [],
        conditions: [condition('PodScheduled', 'False', { reason: 'Unschedulable', message })],
      },
    });
  test.each([
    ['0/3 nodes are available: 3 Insufficient memory.', /Add a node/],
    ['0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.', /toleration/],
    [
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
      /Label a node/,
    ],
    ['0/2 nodes are available: 2 node(s) had volume node affinity conflict.', /zone/],
    ['0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.', /claims/],
    ["0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.", /preferred/],
  ])('is told in the words of the scheduler: %s', (message, hint) => {
    const found = cause([set, pod(message)]);
    expect(found).toMatchObject({
      ready: false,
      code: 'UNSCHEDULABLE',
      object: 'shop Pod/db-0',
      passing: true,
    });
    expect(found.message).toContain(message.replace(/\.$/, ''));
    expect(found.hint).toMatch(hint);
  });
  test('waits in vain once a cluster that can grow would have grown', () => {
    const old = pod(
      '0/3 nodes are available: 3 Insufficient memory.',
      {},
      { creationTimestamp: ago(3600) },
    );
    expect(cause([set, old]).passing).toBe(false);
    expect(
      cause([set, old, eventOf(old, 'TriggeredScaleUp', 'pod triggered scale-up')]).passing,
    ).toBe(true);
  });
  test('says so if no scheduler has looked at it', () => {
    const pod_ = podOf({
      spec: { nodeName: undefined, schedulerName: 'mine' },
      status: { conditions: [], containerStatuses: [] },
    });
    expect(cause([set, pod_])).toMatchObject({
      code: 'NOT_SCHEDULED',
      hint: 'Look at the scheduler mine.',
    });
  });
  const claim = (phase: string | undefined, more: object = {}) =>
    objectOf('v1', 'PersistentVolumeClaim/data-db-0', {
      spec: { storageClassName: 'fast' },
      status: { phase },
      ...more,
    });
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }];
  const unbound = pod(
    '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
    { volumes },
  );
  test('because of a claim names the claim and what its provisioner says', () => {
    const pending = claim('Pending');
    const event = eventOf(
      pending,
      'ProvisioningFailed',
      'storageclass.storage.k8s.io "fast" not found',
    );
    const found = cause([set, unbound, pending, event]);
    expect(found).toMatchObject({ code: 'CLAIM_PENDING', passing: false });
    expect(found.message).toMatch(/claim data-db-0 of the class fast.*"fast" not found/);
  });
  test('waits for a provisioner that has not answered', () => {
    const pending = claim('Pending');
    const event = eventOf(pending, 'ExternalProvisioning', 'Waiting for a volume to be created', {
      type: 'Normal',
    });
    expect(cause([set, unbound, pending, event])).toMatchObject({
      code: 'CLAIM_PENDING',
      passing: true,
    });
  });
  test('whose claim waits for a consumer is told by the scheduler alone', () => {
    expect(codes(look([set, unbound, claim('Pending')]))[0]).toBe('UNSCHEDULABLE passing');
  });
  test('names a claim that is missing or has lost its volume', () => {
    expect(cause([set, unbound])).toMatchObject({ code: 'CLAIM_MISSING', passing: false });
    expect(cause([set, unbound, claim('Lost')])).toMatchObject({
      code: 'CLAIM_LOST',
      passing: false,
    });
    expect(codes(look([set, unbound, claim('Bound')]))[0]).toBe('UNSCHEDULABLE passing');
  });
});

describe('a gate', () => {
  const gated = (name: string) =>
    podOf({
      spec: { nodeName: undefined, schedulingGates: [{ name }] },
      status: {
        phase: 'Pending',
        containerStatuses: [],
        conditions: [condition('PodScheduled', 'False', { reason: 'SchedulingGated' })],
      },
    });
  const namespace = (labels: object) =>
    ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } }) as never;
  test('of a staged restore is a wait, not a fault', () => {
    const found = cause([
      set,
      gated('quiesce.dev/restore-stage'),
      namespace({ 'quiesce.dev/restore': 'shop-1' }),
    ]);
    expect(found).toMatchObject({ ready: false, code: 'WAITS_FOR_LAYER', passing: true });
    expect(found.message).toContain('shop-1');
  });
  test('that a restore has left behind is in vain', () => {
    expect(cause([set, gated('quiesce.dev/restore-stage'), namespace({})])).toMatchObject({
      code: 'GATE_LEFT',
      passing: false,
    });
  });
  test('counts as passing while its namespace could not be read', () => {
    expect(cause([set, gated('quiesce.dev/restore-stage')])).toMatchObject({
      code: 'GATE_LEFT',
      passing: true,
    });
  });
  test('of somebody else is named', () => {
    expect(cause([set, gated('kueue.example/admission'), namespace({})])).toMatchObject({
      code: 'GATED',
      passing: true,
      message: expect.stringContaining('kueue.example/admission') as string,
    });
  });
});

describe('an image', () => {
  test.each([
    [
      'ErrImagePull',
      'failed to resolve reference "registry.example/app:1": registry.example/app:1: not found',
      false,
    ],
    [
      'ImagePullBackOff',
      'Back-off pulling image "registry.example/app:1": ErrImagePull: pull access denied, repository does not exist or may require authorization',
      false,
    ],
    ['ErrImagePull', 'dial tcp 10.0.0.1:443: i/o timeout', true],
    ['InvalidImageName', 'couldn\'t parse image name "APP"', false],
    [
      'ErrImageNeverPull',
      'Container image "registry.example/app:1" is not present with pull policy of Never',
      false,
    ],
  ])('that cannot be pulled: %s, %s', (reason, message, passing) => {
    const found = cause([set, troubled(waiting(reason, message))]);
    expect(found).toMatchObject({ ready: false, code: 'IMAGE_NOT_PULLED', passing });
    expect(found.message).toContain('registry.example/app:1');
    expect(found.message).toContain(message.slice(-25));
  });
  test('whose pull backs off is told in the words of the registry, from the event', () => {
    const pod = troubled(
      waiting('ImagePullBackOff', 'Back-off pulling image "registry.example/app:1"'),
    );
    const event = eventOf(
      pod,
      'Failed',
      'Failed to pull image "registry.example/app:1": manifest unknown',
    );
    const found = cause([set, pod, event]);
    expect(found.message).toContain('manifest unknown');
    expect(found.passing).toBe(false);
  });
});

describe('what a pod needs and nobody has made', () => {
  const created = (message: string) => troubled(waiting('CreateContainerConfigError', message));
  test.each([
    ['secret "db-password" not found', 'SECRET_MISSING', 'Secret db-password'],
    ['configmap "settings" not found', 'CONFIG_MAP_MISSING', 'ConfigMap settings'],
    [
      "couldn't find key password in Secret shop/db-password",
      'SECRET_KEY_MISSING',
      'The Secret db-password has no key password',
    ],
    [
      "couldn't find key mode in ConfigMap shop/settings",
      'CONFIG_MAP_KEY_MISSING',
      'The ConfigMap settings has no key mode',
    ],
  ])('is named: %s', (message, code, text) => {
    const found = cause([set, created(message)]);
    expect(found).toMatchObject({ ready: false, code, passing: false });
    expect(found.message).toContain(text);
  });
  test.each([
    [
      'MountVolume.SetUp failed for volume "tls" : secret "db-tls" not found',
      'SECRET_MISSING',
      'db-tls',
    ],
    [
      'MountVolume.SetUp failed for volume "conf" : configmap "conf" not found',
      'CONFIG_MAP_MISSING',
      'conf',
    ],
    [
      'MountVolume.SetUp failed for volume "tls" : references non-existent secret key: ca.crt',
      'SECRET_KEY_MISSING',
      'ca.crt',
    ],
    [
      'MountVolume.SetUp failed for volume "c" : references non-existent config key: a.conf',
      'CONFIG_MAP_KEY_MISSING',
      'a.conf',
    ],
  ])('is named from the event of a mount: %s', (message, code, name) => {
    const pod = troubled(waiting('ContainerCreating'));
    const late = eventOf(pod, 'FailedMount', 'Unable to attach or mount volumes: timed out', {
      lastTimestamp: ago(1),
    });
    const found = cause([set, pod, late, eventOf(pod, 'FailedMount', message)]);
    expect(found).toMatchObject({ code, message: expect.stringContaining(name) as string });
  });
  test('may still be brought to a pod that has just been made', () => {
    expect(
      cause([
        set,
        {
          ...created('secret "s" not found'),
          metadata: { ...created('').metadata, ...fresh.metadata },
        } as never,
      ]).passing,
    ).toBe(true);
  });
  test('or another fault of its creation keeps the words of the kubelet', () => {
    const found = cause([set, created('container has runAsNonRoot and image will run as root')]);
    expect(found).toMatchObject({
      code: 'CONTAINER_NOT_STARTED',
      passing: false,
      hint: expect.stringContaining('runAsUser') as string,
    });
    expect(
      cause([
        set,
        troubled(waiting('RunContainerError', 'exec: "db": executable file not found in $PATH')),
      ]).message,
    ).toContain('executable file not found');
  });
});

describe('volumes', () => {
  const pod = troubled(waiting('ContainerCreating'));
  test('that are attached elsewhere are waited for', () => {
    const event = eventOf(
      pod,
      'FailedAttachVolume',
      'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node',
    );
    expect(cause([set, pod, event])).toMatchObject({
      code: 'VOLUME_NOT_MOUNTED',
      passing: true,
      hint: expect.stringContaining('Another node') as string,
    });
  });
  test('that a driver cannot mount are named', () => {
    const event = eventOf(
      pod,
      'FailedMount',
      'MountVolume.MountDevice failed for volume "pvc-1" : wrong fs type',
    );
    expect(cause([set, pod, event])).toMatchObject({
      code: 'VOLUME_NOT_MOUNTED',
      passing: false,
      message: expect.stringContaining('wrong fs type') as string,
    });
  });
  test('that were late once are forgotten as soon as the container runs', () => {
    const now = troubled(running);
    const event = eventOf(
      now,
      'FailedMount',
      'MountVolume.SetUp failed for volume "tls" : secret "s" not found',
    );
    expect(cause([set, now, event]).code).toBe('NOT_READY');
  });
  test('without any word are just being made', () => {
    expect(cause([set, pod])).toMatchObject({ code: 'STARTING', passing: true });
    const sandbox = eventOf(
      pod,
      'FailedCreatePodSandBox',
      'plugin type="bridge" failed (add): no IP addresses available',
    );
    expect(cause([set, pod, sandbox]).code).toBe('SANDBOX_FAILED');
  });
});

describe('a container that ends again and again', () => {
  test('is told with its exit code and its last words', () => {
    const found = cause([set, troubled(crash(3, 2))], says('starting', 'boom: out of cheese'));
    expect(found).toMatchObject({ ready: false, code: 'CRASH_LOOP', passing: true });
    expect(found.message).toMatch(
      /main ends with code 3, 2 restarts so far.*starting ⏎ boom: out of cheese/,
    );
  });
  test('is in vain after five restarts', () => {
    expect(cause([set, troubled(crash(3, 5))]).passing).toBe(false);
  });
  test('counts as such also between two ends, while it runs', () => {
    const found = cause(
      [set, troubled({ ...running, lastState: ended(1), restartCount: 1 })],
      says('boom'),
    );
    expect(found).toMatchObject({
      code: 'CRASH_LOOP',
      message: expect.stringContaining('boom') as string,
    });
  });
  test('and ends with success is no better', () => {
    expect(cause([set, troubled(crash(0, 3, { reason: 'Completed' }))]).message).toContain(
      'code 0, Completed',
    );
  });
  test('because of its memory limit says so', () => {
    expect(cause([set, troubled(crash(137, 2, { reason: 'OOMKilled' }))])).toMatchObject({
      code: 'OUT_OF_MEMORY',
      passing: true,
    });
    expect(cause([set, troubled(crash(137, 9, { reason: 'OOMKilled' }))]).passing).toBe(false);
  });
  test('because the kubelet kills it says so, with the answer of its probe', () => {
    const pod = troubled(crash(137, 2));
    const probe = eventOf(
      pod,
      'Unhealthy',
      'Liveness probe failed: HTTP probe failed with statuscode: 500',
    );
    const found = cause([set, pod, probe]);
    expect(found).toMatchObject({ code: 'LIVENESS_FAILED', passing: true });
    expect(found.message).toContain('statuscode: 500');
    expect(cause([set, pod]).code).toBe('CRASH_LOOP');
    expect(cause([set, troubled(crash(1, 2)), probe]).code).toBe('CRASH_LOOP');
  });
  test('shows five lines at most, and none of a stack trace', () => {
    const lines = ['one', 'two', 'three', 'four', 'five', 'six', 'at run (/app/main.js:3:1)'];
    const { message } = cause([set, troubled(crash(1, 1))], says(...lines));
    expect(message).toContain('two ⏎ three ⏎ four ⏎ five ⏎ six');
    expect(message).not.toMatch(/one ⏎|main\.js/);
  });
});

describe('the likely cause', () => {
  test.each([
    ['FATAL:  password authentication failed for user "app"', 'LOGIN_REFUSED', false],
    ['WRONGPASS invalid username-password pair or user is disabled.', 'LOGIN_REFUSED', false],
    ['NOAUTH Authentication required.', 'LOGIN_REFUSED', false],
    ['MongoServerError: Authentication failed.', 'LOGIN_REFUSED', false],
    [
      "ERROR 1045 (28000): Access denied for user 'app'@'10.0.0.7' (using password: YES)",
      'LOGIN_REFUSED',
      false,
    ],
    ['FATAL:  database "shop" does not exist', 'DATABASE_MISSING', false],
    [
      'could not translate host name "db" to address: Name or service not known',
      'NAME_UNKNOWN',
      true,
    ],
    ['Error: getaddrinfo ENOTFOUND queue', 'NAME_UNKNOWN', true],
    ['dial tcp: lookup queue on 10.96.0.10:53: no such host', 'NAME_UNKNOWN', true],
    ['Error: connect ECONNREFUSED 10.0.0.5:5432', 'DEPENDENCY_DOWN', true],
    ['dial tcp 10.0.0.5:5672: connect: connection refused', 'DEPENDENCY_DOWN', true],
    ['dial tcp 10.0.0.5:5672: i/o timeout', 'DEPENDENCY_UNREACHABLE', true],
    ['FATAL:  the database system is starting up', 'DEPENDENCY_STARTING', true],
    ['PANIC: could not write: No space left on device', 'NO_SPACE', false],
    ['FATAL:  database files are incompatible with server', 'IMAGE_INCOMPATIBLE', false],
    ["Can't handle RDB format version 11", 'IMAGE_INCOMPATIBLE', false],
    ['PANIC:  could not locate a valid checkpoint record', 'DATA_DAMAGED', false],
    ['LOG:  invalid primary checkpoint record', 'DATA_DAMAGED', false],
    ['Bad magic number in super-block', 'DATA_DAMAGED', false],
    ['initdb: error: could not change permissions: Permission denied', 'PERMISSION_DENIED', false],
    ['mkdir: cannot create directory: Read-only file system', 'READ_ONLY', false],
    ['exec /app: exec format error', 'ARCHITECTURE_DIFFERS', false],
    ['listen tcp :8080: bind: address already in use', 'PORT_IN_USE', false],
  ])('of %s is %s', (line, code, passing) => {
    const found = cause([set, troubled(crash(1, 1))], says('starting', line));
    expect(found).toMatchObject({ code, passing, hint: expect.any(String) as string });
    expect(found.message).toMatch(/Probably /);
    expect(found.message).toContain(line.trim().slice(0, 20));
  });
  test('is not read into words that say nothing', () => {
    expect(cause([set, troubled(crash(1, 1))], says('ready to accept passwords', 'bye')).code).toBe(
      'CRASH_LOOP',
    );
  });
  test('is told of a container that runs and does not get ready, too', () => {
    const found = cause([set, troubled(running)], says('connect ECONNREFUSED 10.0.0.5:5432'));
    expect(found).toMatchObject({ code: 'DEPENDENCY_DOWN', passing: true });
  });
});

describe('init containers', () => {
  const spec = (name: string) => ({ initContainers: [{ name }], containers: [{ name: 'main' }] });
  const pod = (name: string, status: object) =>
    troubled(waiting('PodInitializing'), {
      spec: spec(name),
      status: { initContainerStatuses: [{ name, restartCount: 2, ...status }] },
    });
  test('that fail are the cause, not the containers that wait for them', () => {
    const failing = pod('migrate', { ...waiting('CrashLoopBackOff'), lastState: ended(2) });
    const found = cause([set, failing], {
      logs: { 'shop/db-0/migrate': ['ERROR: relation does not exist'] },
    });
    expect(found).toMatchObject({
      code: 'INIT_FAILED',
      message: expect.stringContaining('migrate ends with code 2') as string,
    });
    expect(found.message).toContain('relation does not exist');
    expect(look([set, failing]).causes.filter(({ object }) => object.includes('Pod'))).toHaveLength(
      1,
    );
  });
  test('that still run are waited for', () => {
    expect(cause([set, pod('wait', { state: { running: {} } })])).toMatchObject({
      code: 'INIT_RUNNING',
      passing: true,
    });
  });
  test('prepare-restore refuses a copy in its own words', () => {
    const words =
      'quiesce: COPY_INCOMPLETE: The log ends before the receipt. Hint: Restore another copy.';
    for (const around of [{ logs: { 'shop/db-0/quiesce-prepare-restore': [words] } }, {}]) {
      const refusing = pod('quiesce-prepare-restore', {
        ...waiting('CrashLoopBackOff'),
        lastState: ended(7, { message: words }),
      });
      expect(cause([set, refusing], around)).toMatchObject({
        code: 'COPY_REFUSED',
        message:
          'prepare-restore refuses the copy: COPY_INCOMPLETE: The log ends before the receipt.',
        hint: 'Restore another copy.',
        passing: false,
      });
    }
  });
  test('prepare-restore that was killed is no refusal', () => {
    const killed = pod('quiesce-prepare-restore', {
      ...waiting('CrashLoopBackOff'),
      lastState: ended(137),
    });
    expect(cause([set, killed])).toMatchObject({ code: 'PREPARE_FAILED', passing: true });
  });
});

describe('probes', () => {
  test('of readiness are told with their answer', () => {
    const pod = troubled(running);
    const event = eventOf(
      pod,
      'Unhealthy',
      'Readiness probe failed: HTTP probe failed with statuscode: 503',
    );
    expect(cause([set, pod, event])).toMatchObject({
      code: 'NOT_READY',
      passing: true,
      message: expect.stringContaining('statuscode: 503') as string,
    });
  });
  test('of startup come before those of readiness', () => {
    const pod = troubled({ ...running, started: false });
    const both = ['Readiness probe failed: a', 'Startup probe failed: b'].map((one) =>
      eventOf(pod, 'Unhealthy', one),
    );
    expect(cause([set, pod, ...both]).message).toContain('Startup probe failed: b');
  });
  test('that have not answered yet are waited for', () => {
    expect(cause([set, troubled(running)])).toMatchObject({ code: 'NOT_READY', passing: true });
  });
  test('a readiness gate that is not met is named', () => {
    const pod = podOf({
      spec: { readinessGates: [{ conditionType: 'lb.example/ready' }] },
      status: { conditions: NOT_READY },
    });
    expect(cause([set, pod])).toMatchObject({
      code: 'READINESS_GATE',
      message: expect.stringContaining('lb.example/ready') as string,
    });
  });
});

describe('nodes and ends', () => {
  const node = (status: string) =>
    ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node-1' },
      status: {
        conditions: [
          condition('Ready', status, { message: 'kubelet stopped posting node status' }),
        ],
      },
    }) as never;
  test('a node that is not ready is the cause', () => {
    const found = cause([set, troubled(running), node('Unknown')]);
    expect(found).toMatchObject({
      code: 'NODE_NOT_READY',
      passing: true,
      message: expect.stringContaining('stopped posting') as string,
    });
    expect(cause([set, troubled(running), node('True')]).code).toBe('NOT_READY');
  });
  test('a pod that does not end is named with what keeps it', () => {
    const ending = (seconds: number, more: object = {}) =>
      podOf({ metadata: { deletionTimestamp: ago(seconds), ...more } });
    expect(cause([set, ending(5)])).toMatchObject({ code: 'ENDING', passing: true });
    expect(cause([set, ending(600, { finalizers: ['x.example/keep'] })])).toMatchObject({
      code: 'STUCK_ENDING',
      passing: false,
      message: expect.stringContaining('x.example/keep') as string,
    });
    expect(cause([set, ending(600)])).toMatchObject({ code: 'STUCK_ENDING', passing: true });
  });
  test('a bare pod that was evicted does not come back', () => {
    const evicted = podOf({
      metadata: { ownerReferences: [] },
      status: { phase: 'Failed', reason: 'Evicted', message: 'low on memory', conditions: [] },
    });
    expect(cause([evicted], { member: memberOf('Pod/db-0') })).toMatchObject({
      code: 'POD_ENDED',
      passing: false,
      message: expect.stringContaining('Evicted: low on memory') as string,
    });
  });
});

test('a cause that is in vain comes before one that may pass', () => {
  const two = statefulSet({ replicas: 2 }, { replicas: 2, ...UNREADY });
  const bad = {
    ...troubled(waiting('InvalidImageName', 'x')),
    metadata: { ...podOf({}, 'db-1').metadata },
  };
  expect(codes(look([two, troubled(running), bad]))).toEqual([
    'IMAGE_NOT_PULLED in-vain',
    'NOT_READY passing',
    'PODS_NOT_READY passing',
  ]);
});
