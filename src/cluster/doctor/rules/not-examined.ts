import type { Unexamined } from '../../inventory/catalog.ts';
import type { ObjectRef } from '../../objects/kube-object.ts';
import type { Finding, RuleText } from '../rule.ts';

export const NOT_LOOKED_AT = {
  code: 'NOT_LOOKED_AT',
  severity: 'warning',
  title: 'Something could not be examined',
  why: 'Nothing that depends on it was checked. No findings here does not mean no problems.',
  fix: 'Grant the doctor the rights of the chart’s ClusterRole (doctor.rbac), or use other credentials.',
} as const satisfies RuleText;

/** Files of a folder, which no right makes readable. */
const FIXES: Readonly<Record<string, string>> = {
  templates: 'Examine what the templates make: helm template … | quiesce doctor -f -',
  files: 'Correct the files, or leave them out.',
};

/** Reports a kind that could not be read, which must never pass in silence. If optional, as `info`. */
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
    message: `It could not be examined: ${reason}.`,
    fix: (namespace === undefined ? FIXES[resource] : undefined) ?? NOT_LOOKED_AT.fix,
  };
}
