import { at, type KubeObject, namespaceOf, textAt } from '../../objects/kube-object.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { refusals } from '../../inject/refusals.ts';
import type { PodRule } from '../rule.ts';

/** Events of a workload, or of the ReplicaSets that a Deployment names after itself. */
function isAbout(event: KubeObject, { workload }: PodFacts): boolean {
  if (namespaceOf(event) !== workload.namespace) return false;
  const kind = textAt(event, 'involvedObject', 'kind');
  const name = textAt(event, 'involvedObject', 'name') ?? '';
  if (kind === workload.kind) return name === workload.name;
  const below = /^(?:ReplicaSet|ReplicationController)$/.test(kind ?? '');
  return below && name.replace(/-[a-z0-9]+$/, '') === workload.name;
}

/** Refusals by an admission plugin, a quota or a policy; not by a full node or a missing account. */
const REFUSED = /forbidden|denied|exceeded quota|failed quota|violates|admission webhook|invalid/i;

export const refusedRules: readonly PodRule[] = [
  {
    code: 'POD_REFUSED',
    severity: 'error',
    title: 'The API server refuses the pod with the sidecar',
    why: 'A ResourceQuota, a LimitRange or a policy does not let the pod in: the database does not start.',
    fix: 'Set the value that the message names; whatever else a policy demands goes into sidecar.patch (--sidecar-patch), which is merged into the sidecar and its pods.',
    *check(facts, { catalog }) {
      const { view, pod, rules, optIn, sidecar } = facts;
      if (sidecar === undefined || optIn === 'false') return;
      if (view.live === undefined) {
        for (const { message } of refusals(pod, rules)) yield `${capital(message)}.`;
      }
      if (view.live !== undefined && facts.workload.kind !== 'Pod') return;
      const events = catalog
        .all('Event')
        .filter((one) => textAt(one, 'reason') === 'FailedCreate' && isAbout(one, facts))
        .toSorted((a, b) => timeOf(b) - timeOf(a));
      const [message] = events
        .map((one) => textAt(one, 'message') ?? '')
        .filter((text) => REFUSED.test(text));
      if (message !== undefined)
        yield `Its pod was refused: ${message.replaceAll(/\s+/g, ' ').replace(/\.$/, '')}.`;
    },
  },
];

function timeOf(event: KubeObject): number {
  const text = at(event, 'lastTimestamp') ?? at(event, 'eventTime');
  return Date.parse(String(text)) || 0;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
