import type { RuleText } from '../rule.ts';

/** What a running sidecar says of itself and of its database. */
export const PROBE = {
  failed: {
    code: 'PROBE_FAILED',
    severity: 'warning',
    title: 'The sidecar could not be asked',
    why: 'Whether it reaches its database, and has its grants, was not checked.',
    fix: 'Grant create on pods/exec, and see that the container quiesce runs.',
  },
  unreachable: {
    code: 'DATABASE_UNREACHABLE',
    severity: 'error',
    title: 'The sidecar does not reach its database, or is refused',
    why: 'Every freeze fails.',
    fix: 'docs/errors.md has the code in the message and what to do.',
  },
  grants: {
    code: 'GRANTS_MISSING',
    severity: 'error',
    title: 'The sidecar’s role lacks a grant',
    why: 'Every freeze is refused, or proves less than it could.',
    fix: 'Run the statement in the message as an administrator; the files in roles/ hold the least that is needed.',
  },
  inconsistent: {
    code: 'LAST_FREEZE_INCONSISTENT',
    severity: 'warning',
    title: 'The last freeze did not hold',
    why: 'The backup it was for proves nothing.',
    fix: 'docs/runbooks/QuiesceBackupInconsistent.md.',
  },
  restore: {
    code: 'RESTORE_NOT_VERIFIED',
    severity: 'error',
    title: 'The pod runs on a restored copy that is not what its receipt promises',
    why: 'Data may be missing.',
    fix: 'docs/runbooks/QuiesceRestoreNotVerified.md.',
  },
} as const satisfies Readonly<Record<string, RuleText>>;

export const probeTexts: readonly RuleText[] = Object.values(PROBE);
