import type { RuleText } from '../rule.ts';

/** Findings from the answers of running sidecars. */
export const PROBE = {
  failed: {
    code: 'PROBE_FAILED',
    severity: 'warning',
    title: 'The sidecar gave no answer',
    why: 'It was not checked whether the sidecar reaches its database and has its grants.',
    fix: 'Grant get and create on pods/exec, and make sure that the container quiesce runs.',
  },
  unreachable: {
    code: 'DATABASE_UNREACHABLE',
    severity: 'error',
    title: 'The sidecar cannot reach its database, or the database refuses it',
    why: 'Every freeze fails.',
    fix: 'Look up the code of the message in docs/errors.md.',
  },
  grants: {
    code: 'GRANTS_MISSING',
    severity: 'error',
    title: 'The sidecar’s role lacks a grant',
    why: 'Every freeze is refused, or proves less than it could.',
    fix: 'Run the statement in the message as an administrator. The files in roles/ contain the least rights needed.',
  },
  inconsistent: {
    code: 'LAST_FREEZE_INCONSISTENT',
    severity: 'warning',
    title: 'The last freeze did not hold',
    why: 'The backup it was for proves nothing.',
    fix: 'Follow docs/runbooks/QuiesceBackupInconsistent.md.',
  },
  restore: {
    code: 'RESTORE_NOT_VERIFIED',
    severity: 'error',
    title:
      'The pod runs on a restored copy that does not contain what its receipt promises, or is damaged',
    why: 'Data may be missing.',
    fix: 'Follow docs/runbooks/QuiesceRestoreNotVerified.md.',
  },
  unproven: {
    code: 'RESTORE_UNPROVEN',
    severity: 'error',
    title: 'The pod was restored, and nothing proves its data',
    why: 'The volume came back without a receipt or empty, or its receipt could not be checked: the database may be incomplete, damaged or empty.',
    fix: 'Follow docs/runbooks/QuiesceRestoreNotVerified.md. If you accept the data as it is: quiesce status --acknowledge-restore in the container quiesce.',
  },
  content: {
    code: 'RESTORE_CONTENT_UNCHECKED',
    severity: 'warning',
    title: 'The deep check of a restored database could not look',
    why: 'The restore has the level position, and content was asked for. Nothing was found to be damaged.',
    fix: 'Follow docs/runbooks/QuiesceRestoreContentNotVerified.md.',
  },
  notAsked: {
    code: 'RESTORE_NOT_ASKED',
    severity: 'warning',
    title: 'The pod was restored, and its sidecar was not asked whether the data is proven',
    why: 'Only the sidecar knows the level of a restore.',
    fix: 'Run quiesce doctor --probe, or quiesce status in the container quiesce. A pod that is recreated loses the label of its restore.',
  },
} as const satisfies Readonly<Record<string, RuleText>>;

export const probeTexts: readonly RuleText[] = Object.values(PROBE);
