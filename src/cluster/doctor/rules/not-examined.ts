import type { ObjectRef, Unexamined } from '../../inventory/catalog.ts';
import type { Finding, RuleText } from '../rule.ts';

export const NOT_LOOKED_AT = {
  code: 'NOT_LOOKED_AT',
  severity: 'warning',
  title: 'Something could not be looked at',
  why: 'Whatever depends on it was not checked. Nothing found is not nothing there.',
  fix: 'Give the reader the rights of the chart’s ClusterRole (doctor.rbac), or look with other credentials.',
} as const satisfies RuleText;

/** Never silence: what was not seen is said. What only some checks need is worth knowing, no more. */
export function notExaminedFinding({ resource, namespace, reason, optional }: Unexamined): Finding {
  const object: ObjectRef =
    namespace === undefined
      ? { kind: 'Resource', name: resource }
      : { kind: 'Resource', name: resource, namespace };
  return {
    code: NOT_LOOKED_AT.code,
    severity: optional ? 'info' : NOT_LOOKED_AT.severity,
    object,
    pods: [],
    message: `It was not looked at: ${reason}.`,
    fix: NOT_LOOKED_AT.fix,
  };
}
