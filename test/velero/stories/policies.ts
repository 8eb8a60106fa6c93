import { inNamespace, postgres } from '../apps/index.ts';
import { isRunning, stopDaemon } from '../cluster/daemons.ts';
import { cleanPolicies, startPolicyEngine } from '../cluster/policies.ts';
import type { Stage } from '../stage/stage.ts';
import { inNamespaces } from '../stage/under-load.ts';
import { until } from '../wait.ts';
import { backupAndRestore } from './backup-restore.ts';
import type { Story } from './story.ts';

const NAMESPACE = 'fenced';
const PROBES = 'probes';
const METRICS_PORT = 9095;

export const policies: readonly Story[] = [
  {
    name: 'default-deny',
    group: 'policies',
    title: 'a policy that denies all traffic of the namespace: backup and restore work',
    inCi: false,
    play: async (stage) => {
      if (!(await isRunning('kube-router'))) {
        // The run was started without the engine; the next story is the whole of it.
        return stage.expect('the cluster has no policy engine in this run', true);
      }
      await inNamespaces(stage, [NAMESPACE, PROBES], () => fenced(stage));
    },
  },
  {
    name: 'no-policy-engine',
    group: 'policies',
    title: 'the same in a cluster without a policy engine: nothing relies on one',
    inCi: false,
    play: async (stage) => {
      const had = await isRunning('kube-router');
      if (had) await stopDaemon('kube-router');
      try {
        if (had) await cleanPolicies(stage.tools);
        await inNamespaces(stage, [NAMESPACE, PROBES], () => unfenced(stage));
      } finally {
        if (had) await startPolicyEngine(stage.tools);
      }
    },
  },
];

async function fenced(stage: Stage): Promise<void> {
  const { tools } = stage;
  const app = postgres(inNamespace(NAMESPACE));
  await tools.apply(app.manifest());
  await stage.ready(NAMESPACE, app.pods);
  await startProbe(stage);
  stage.expect('without a policy, another pod reads the sidecar’s metrics', await reads(stage));
  await tools.apply(DENY_ALL);
  const denied = await until('the engine enforces the policy', 60_000, async () => {
    return !(await reads(stage));
  }).catch(() => false);
  stage.expect('with it, that pod does not', denied);
  // The sidecar and its database share the pod's loopback; Velero and the API server come by the kubelet.
  await backupAndRestore(stage, app, { name: 'default-deny' });
  await webhookUnderItsPolicy(stage);
}

/** A new replica is ready only if its own policy lets it reach the API server, which then reaches it. */
async function webhookUnderItsPolicy(stage: Stage): Promise<void> {
  const { tools } = stage;
  const where = ['-n', 'quiesce-system'];
  const { items } = await tools.get<{ items: unknown[] }>('networkpolicies', ...where);
  stage.equal('the chart has a policy for the webhook', items.length, 1);
  await tools.kubectl([...where, 'rollout', 'restart', 'deployment/quiesce-webhook']);
  const status = ['rollout', 'status', 'deployment/quiesce-webhook', '--timeout=180s'];
  const rolled = await tools.tryKubectl([...where, ...status]);
  stage.expect('new replicas of the webhook become ready', rolled.status === 0, rolled.stderr);
  await tools.apply(postgres(inNamespace(NAMESPACE)).manifest());
  await stage.ready(NAMESPACE, ['db-0']);
  const names = ['-o', 'jsonpath={.spec.containers[*].name}'];
  const restored = await tools.kubectl(['-n', NAMESPACE, 'get', 'pod', 'db-0', ...names]);
  stage.equal('and inject the pods that are made', restored, 'postgres quiesce');
}

async function unfenced(stage: Stage): Promise<void> {
  await stage.tools.apply(DENY_ALL);
  await startProbe(stage);
  const app = postgres(inNamespace(NAMESPACE));
  await stage.tools.apply(app.manifest());
  await stage.ready(NAMESPACE, app.pods);
  stage.expect('nothing enforces the policy', await reads(stage));
  await backupAndRestore(stage, app, { name: 'no-policy-engine' });
}

const DENY_ALL = `
apiVersion: v1
kind: Namespace
metadata: { name: ${NAMESPACE} }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: deny-all, namespace: ${NAMESPACE} }
spec: { podSelector: {}, policyTypes: [Ingress, Egress] }
`;

/** A pod of somebody else, in a namespace without a policy. */
async function startProbe(stage: Stage): Promise<void> {
  const values = await stage.tools.helm(['show', 'values', 'charts/quiesce']);
  const image = /image: (\S*curl\S*)/.exec(values)?.[1] ?? '';
  await stage.tools.kubectl(['create', 'namespace', PROBES]);
  const where = ['-n', PROBES, `--image=${image}`, '--image-pull-policy=IfNotPresent'];
  await stage.tools.kubectl(['run', 'probe', ...where, '--command', '--', 'sleep', '3600']);
  await stage.ready(PROBES, ['probe']);
}

async function reads(stage: Stage): Promise<boolean> {
  const address = await stage.access(NAMESPACE).reach('db-0');
  const url = `http://${address}:${METRICS_PORT}/metrics`;
  const curl = ['curl', '--silent', '--fail', '--max-time', '3', '--output', '/dev/null', url];
  const ran = await stage.tools.tryKubectl(['exec', '-n', PROBES, 'probe', '--', ...curl]);
  return ran.status === 0;
}
