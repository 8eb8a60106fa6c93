import { refText } from '../../objects/kube-object.ts';
import type { PlanProblem } from '../document.ts';
import { listed } from '../many-names.ts';
import type { PlannedMember } from '../planned.ts';

const NAMED = 3;

/**
 * A broker is copied at its own moment: what it has handed over before is not undone in it, and what was
 * acknowledged in a database after its copy may be in its queues again.
 */
export function brokerProblems(members: readonly PlannedMember[]): readonly PlanProblem[] {
  return members.filter(keepsMessages).flatMap((broker): PlanProblem[] => {
    const { namespace, kind, name } = broker;
    const dependents = members.filter((one) => {
      const own = one.namespace === namespace;
      return one.after.includes(own ? `${kind}/${name}` : `${namespace}/${kind}/${name}`);
    });
    if (dependents.length === 0) return [];
    const names = dependents.map(({ name }) => name);
    const message = `It is kept at its own moment: after a restore, messages may come again, or be missing, that ${listed(names, NAMED)} had handled or sent by the moment of the databases.`;
    const fix = 'Make consumers idempotent, or let the producers send again.';
    return [
      {
        code: 'BROKER_AT_ITS_OWN_MOMENT',
        severity: 'info',
        object: refText(broker),
        message,
        fix,
      },
    ];
  });
}

/** An operator's broker without pods among the objects will have claims, too. */
function keepsMessages({ stage, claims, views }: PlannedMember): boolean {
  return stage === 'messaging' && (claims.length > 0 || views.length === 0);
}
