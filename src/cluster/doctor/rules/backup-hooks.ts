import { hookKey, VERBS } from '../../inject/hooks.ts';
import { backupCalls, type QuiesceCall, repeated, verbOf } from '../backup-hooks.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import { CORRECT_COMMANDS, hooksOf, ownHooks } from '../hooks.ts';
import type { PodRule } from '../rule.ts';
import type { Velero } from '../../inventory/velero.ts';

/** The backups that include the pod without such a call; `undefined`: no backup includes it. */
function backupsLacking(
  velero: Velero,
  facts: PodFacts,
  isCalled: (call: QuiesceCall) => boolean,
): readonly string[] | undefined {
  const backups = backupCalls(velero, facts);
  if (backups.length === 0) return undefined;
  return backups.filter(({ calls }) => !calls.some(isCalled)).map(({ name }) => name);
}

/** A sentence about the backups whose own hooks do not call quiesce either. */
function norIn(names: readonly string[] = []): string {
  return names.length === 0
    ? ''
    : ` Nor does spec.hooks of ${names.join(', ')} run such a command.`;
}

/** The backups whose own hooks call only one of freeze and thaw. */
function* halfBackups(velero: Velero, facts: PodFacts): Iterable<string> {
  for (const { name, calls } of backupCalls(velero, facts)) {
    const real = calls.filter(({ harmless }) => !harmless);
    const verbs = new Set(real.map(({ verb }) => verb));
    const [first] = real;
    if (verbs.size !== 1 || first === undefined) continue;
    const other = first.verb === 'freeze' ? 'thaw' : 'freeze';
    yield `In a backup of ${name}, quiesce ${first.verb} runs ${first.from}, but quiesce ${other} never runs.`;
  }
}

/** Rules on the hooks that run in a pod, from its annotations or from its backups. */
export const backupHookRules: readonly PodRule[] = [
  {
    code: 'HOOKS_MISSING',
    severity: 'error',
    title: 'A sidecar has no Velero hooks',
    why: 'Nothing asks it to freeze: the volume is copied while the server writes.',
    fix: `Add the hook annotations to the pod template (${CORRECT_COMMANDS}), or let the webhook or quiesce inject do it.`,
    *check(facts, { velero }) {
      if (facts.sidecar === undefined || hooksOf(facts).length > 0) return;
      const without = backupsLacking(velero, facts, () => true);
      if (without?.length === 0) return;
      yield `It has the sidecar, but neither ${hookKey('pre', 'command')} nor ${hookKey('post', 'command')}.${norIn(without)}`;
    },
  },
  {
    code: 'HOOK_HALF',
    severity: 'error',
    title: 'One of the two hooks is missing',
    why: 'Without a thaw, the lease of the freeze expires and the backup is inconsistent. Without a freeze, the thaw always fails.',
    fix: `Add the missing hook: ${CORRECT_COMMANDS}.`,
    *check(facts, { velero }) {
      const annotated = hooksOf(facts);
      if (facts.sidecar !== undefined && annotated.length === 0) yield* halfBackups(velero, facts);
      const [own] = ownHooks(facts);
      if (own === undefined || annotated.length !== 1) return;
      const other = own.phase === 'pre' ? 'post' : 'pre';
      const without = backupsLacking(
        velero,
        facts,
        ({ verb, harmless }) => verb === VERBS[other] && !harmless,
      );
      if (without?.length === 0) return;
      yield `It has ${hookKey(own.phase, 'command')}, but not ${hookKey(other, 'command')}.${norIn(without)}`;
    },
  },
  {
    code: 'HOOK_TWICE',
    severity: 'error',
    title: 'Two hooks of one backup freeze, or thaw, the same pod',
    why: 'Only the first thaw of a freeze succeeds: the second fails with ALREADY_THAWED. A second freeze is refused with FREEZE_HELD. Either way every backup is PartiallyFailed.',
    fix: 'Keep one of them. Either remove quiesce from spec.hooks and use the annotations of the pod, which replace spec.hooks in their phase, or narrow the namespaces, resources or labelSelector of the hooks until only one matches the pod.',
    *check(facts, { velero }) {
      if (facts.sidecar === undefined) return;
      for (const { name, calls } of backupCalls(velero, facts)) {
        for (const [first, second] of repeated(calls)) {
          yield `In a backup of ${name}, quiesce ${second.verb} runs twice in its pods: ${first.from}, then ${second.from}.`;
        }
      }
    },
  },
  {
    code: 'HOOK_REPLACED',
    severity: 'warning',
    title: 'An annotation of the pod replaces a hook of a backup',
    why: 'If a pod has a hook annotation for a phase, Velero runs that one instead of all of spec.hooks. The backup’s own hook does not run in this pod.',
    fix: 'Narrow the labelSelector of the hook to the pods that need it. The freeze replaces a flush or a lock (docs/migration.md); do other work before or after the backup.',
    *check(facts, { velero }) {
      if (facts.sidecar === undefined) return;
      for (const { name, replaced } of backupCalls(velero, facts)) {
        for (const { words, phase, from } of replaced) {
          if (verbOf(words) !== undefined) continue;
          yield `In a backup of ${name}, the hook ${from.replace(/^by /, '')} does not run in its pods: ${hookKey(phase, 'command')} replaces it.`;
        }
      }
    },
  },
  {
    code: 'HOOK_TARGET_MISSING',
    severity: 'error',
    title: 'A hook of a backup names a container that a matching pod does not have',
    why: 'Velero cannot run it: the hook fails, and every backup is PartiallyFailed.',
    fix: 'Narrow the namespaces or the labelSelector of the hook to the pods that have the container.',
    *check(facts, { velero }) {
      const names = facts.pod.spec?.containers?.map(({ name }) => name) ?? [];
      for (const { name, own } of backupCalls(velero, facts)) {
        for (const { container, from } of own) {
          if (container === undefined || names.includes(container)) continue;
          yield `In a backup of ${name}, the hook ${from.replace(/^by /, '')} runs in ${container}, which is not one of its containers (${names.join(', ')}).`;
        }
      }
    },
  },
];
