import { hookKey } from '../../inject/hooks.ts';
import { backupCalls, type HookCommand } from '../backup-hooks.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { hooksOf } from '../hooks.ts';
import type { PodRule } from '../rule.ts';
import type { Velero } from '../../inventory/velero.ts';

interface Lock {
  readonly pattern: RegExp;
  readonly what: string;
  readonly severity: 'error' | 'warning';
  /** It ends with the session that took it. */
  readonly ofSession?: true;
}

const LOCKS: readonly Lock[] = [
  {
    pattern:
      /FLUSH\s+(?:LOCAL\s+|NO_WRITE_TO_BINLOG\s+)?TABLES\b.*\b(?:WITH\s+READ\s+LOCK|FOR\s+EXPORT)/is,
    what: 'FLUSH TABLES WITH READ LOCK is a lock of its session, and ends when the client of the hook exits',
    severity: 'error',
    ofSession: true,
  },
  {
    pattern: /\bLOCK\s+(?:TABLES?\b|INSTANCE\s+FOR\s+BACKUP)|\bBACKUP\s+(?:STAGE|LOCK)\b/i,
    what: 'the lock belongs to its session, and ends when the client of the hook exits',
    severity: 'error',
    ofSession: true,
  },
  {
    pattern: /\bpg_(?:start_backup|backup_start)\b/i,
    what: 'a backup that pg_backup_start begins ends with its session, and psql exits with the hook: pg_backup_stop in another session fails, or stops another backup',
    severity: 'error',
    ofSession: true,
  },
  {
    pattern: /\bfsyncLock\b|\bfsync\s*:\s*1\b[^}]*\block\s*:/i,
    what: 'fsyncLock has no owner: it outlives its session, and if the post hook does not run, the server accepts no writes until somebody unlocks it',
    severity: 'warning',
  },
  {
    pattern: /\bBGSAVE\b/i,
    what: 'BGSAVE returns before the file is written',
    severity: 'warning',
  },
  {
    pattern: /\bCLIENT\s+PAUSE\b/i,
    what: 'CLIENT PAUSE ends by itself after its time, whether or not the copy is complete',
    severity: 'warning',
  },
  {
    pattern: /\bpg_(?:wal|xlog)_replay_pause\b/i,
    what: 'the pause of the replay has no owner: it stays until somebody resumes it',
    severity: 'warning',
  },
];

/** Words that keep the session of a lock open after the hook, or until it ends the lock itself. */
const KEEPS_SESSION =
  /\bsleep\b|\bSYSTEM\b|\\!|\bnohup\b|\bsetsid\b|\bcoproc\b|\bmkfifo\b|&\s*(?:$|["']|disown|echo|wait)|\bpg_(?:stop_backup|backup_stop)\b|\bUNLOCK\b/i;

function lockIn(words: readonly string[]): Lock | undefined {
  const text = words.join(' ');
  const found = LOCKS.find(({ pattern }) => pattern.test(text));
  return found?.ofSession === true && KEEPS_SESSION.test(text) ? undefined : found;
}

/** The hooks that run in the pod: those of its annotations, else those of its backups. */
function hooksThatRun(facts: PodFacts, velero: Velero): readonly HookCommand[] {
  const annotated = hooksOf(facts).map(({ phase, words, container }) => ({
    phase,
    words,
    container,
    from: hookKey(phase, 'command'),
  }));
  const own = backupCalls(velero, facts).flatMap(({ name, own: hooks }) =>
    hooks.map((hook) => ({
      ...hook,
      from: `The hook ${hook.from.replace(/^by /, '')} of ${name}`,
    })),
  );
  return [...annotated, ...own];
}

/** Rules on what users' own hooks really do. */
export const ownHookRules: readonly PodRule[] = [
  {
    code: 'HOOK_LOCK_LOST',
    severity: 'error',
    title: 'A hook of the user takes a lock that does not last until the copy, or that nobody owns',
    why: 'Velero runs each hook as a process of its own. A lock of its session is gone before the volume is copied, and the backup says nothing of it.',
    fix: 'For an engine that quiesce knows, remove the hooks and use the label (docs/migration.md). For another, make a dump in the pre hook, or use the tools of its engine.',
    *check(facts, { velero }) {
      for (const { phase, words, from } of hooksThatRun(facts, velero)) {
        const lock = phase === 'pre' ? lockIn(words) : undefined;
        if (lock === undefined) continue;
        const message = `${from}: ${lock.what}.`;
        yield { message, severity: lock.severity };
      }
    },
  },
];
