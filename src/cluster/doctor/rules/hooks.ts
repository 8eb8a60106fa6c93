import { FREEZE_TIMEOUT_MS, HOOK_TIMEOUT_MS } from '../../../defaults.ts';
import { copiesAside, durationText, hookKey, parseGoDuration, VERBS } from '../../inject/hooks.ts';
import { counted } from '../../../lib/counted.ts';
import { CONTAINER } from '../../objects/names.ts';
import { parseDuration } from '../../../lib/duration.ts';
import { QuiesceError } from '../../../errors.ts';
import { type Arguments, parseArguments } from '../../../shim/args.ts';
import type { PodFacts } from '../../inventory/pod-facts.ts';
import {
  CORRECT_COMMANDS,
  type HookAnnotations,
  hooksOf,
  isOneWord,
  isUnreadable,
  ownHooks,
  PHASES,
} from '../hooks.ts';
import type { PodRule } from '../rule.ts';

/** The least time a snapshot takes, for each volume: Velero polls for its completion every five seconds. */
const POLL_MS = 5_000;

/** The hooks whose command quiesce accepts. */
function runnable(facts: PodFacts): readonly HookAnnotations[] {
  return ownHooks(facts).filter(
    (hook) => !isOneWord(hook.command) && problemOf(hook) === undefined,
  );
}

function flagsOf({ phase, words }: HookAnnotations): Arguments {
  return parseArguments(VERBS[phase], words.slice(2));
}

/** Why quiesce would refuse the command, or why the command is wrong; `undefined`: it is correct. */
function problemOf(hook: HookAnnotations): string | undefined {
  const { phase, words } = hook;
  if (words[1] !== VERBS[phase]) {
    return `runs quiesce ${words[1] ?? ''}, but must run quiesce ${VERBS[phase]}`.replace(
      '  ',
      ' ',
    );
  }
  if (phase === 'post' && words.includes('--abandon')) {
    return 'abandons the freeze (--abandon) and succeeds: every backup passes without any proof';
  }
  if (words.some((word) => /^--idempotency-key(?:=|$)/.test(word))) {
    return 'has an --idempotency-key, which is the same in each backup: the second backup gets the answer of the first';
  }
  try {
    flagsOf(hook);
    return undefined;
  } catch (error) {
    if (!(error instanceof QuiesceError)) throw error;
    return `is a command that quiesce refuses: ${error.message.replace(/\.$/, '')}`;
  }
}

/** How long Velero waits for the hook, in milliseconds. */
function limitOf({ timeout }: HookAnnotations): number {
  return (timeout === undefined ? undefined : parseGoDuration(timeout)) ?? HOOK_TIMEOUT_MS;
}

export const hookRules: readonly PodRule[] = [
  {
    code: 'HOOKS_OVERWRITTEN',
    severity: 'error',
    title: 'Another hook is in place of the hook of quiesce',
    why: 'Velero runs one annotated hook for each phase. quiesce never overwrites a user’s hook, so nothing freezes this database.',
    fix: 'Remove these annotations from the pod template; docs/migration.md lists what replaces each of them.',
    *check(facts) {
      if (facts.sidecar === undefined) return;
      for (const { phase, command, ours } of hooksOf(facts)) {
        if (!ours)
          yield `${hookKey(phase, 'command')} is ${shorten(command)}, which does not call quiesce.`;
      }
    },
  },
  {
    code: 'HOOK_COMMAND_UNREADABLE',
    severity: 'error',
    title: 'The command of a hook is not a JSON array',
    why: 'Velero takes the whole text, blanks included, as the name of one program. No shell splits it.',
    fix: `Write a JSON array; for quiesce: ${CORRECT_COMMANDS}.`,
    *check(facts) {
      for (const { phase, command } of hooksOf(facts)) {
        if (isUnreadable(command)) yield `${hookKey(phase, 'command')} is ${shorten(command)}.`;
      }
    },
  },
  {
    code: 'HOOK_COMMAND_INVALID',
    severity: 'error',
    title: 'A hook calls quiesce with a command that it refuses, or with the wrong verb',
    why: 'The hook fails in every backup.',
    fix: `Write ${CORRECT_COMMANDS}; quiesce freeze --help lists the flags.`,
    *check(facts) {
      for (const hook of ownHooks(facts)) {
        const problem = isOneWord(hook.command) ? undefined : problemOf(hook);
        if (problem !== undefined) yield `${hookKey(hook.phase, 'command')} ${problem}.`;
      }
    },
  },
  {
    code: 'HOOK_CONTAINER_MISSING',
    severity: 'error',
    title: 'A hook names a container that does not exist',
    why: 'Velero cannot run it: the hook fails, and the backup is PartiallyFailed.',
    fix: `Set the annotation to ${CONTAINER}, and make sure that the pod has that container (docs/webhook.md).`,
    *check({ annotations, pod, native }) {
      const plain = pod.spec?.containers?.map(({ name }) => name) ?? [];
      const init = pod.spec?.initContainers?.map(({ name }) => name) ?? [];
      for (const phase of PHASES) {
        const name = annotations[hookKey(phase, 'container')];
        if (name === undefined || plain.includes(name) || name === native?.name) continue;
        const where = init.includes(name) ? ', an init container, in which hooks cannot run' : '';
        yield `${hookKey(phase, 'container')} is ${name}${where || `, which is not one of its containers (${plain.join(', ')})`}.`;
      }
    },
  },
  {
    code: 'HOOK_CONTAINER_WRONG',
    severity: 'error',
    title: 'A hook of quiesce runs in another container',
    why: 'That container has neither the program nor the socket of the sidecar. Without the annotation, Velero uses the first container.',
    fix: `Set the annotation to ${CONTAINER}.`,
    *check(facts) {
      const containers = facts.pod.spec?.containers ?? [];
      for (const { phase, container } of ownHooks(facts)) {
        const target = container ?? containers[0]?.name;
        if (target === facts.sidecar?.name || !containers.some(({ name }) => name === target))
          continue;
        yield container === undefined
          ? `${hookKey(phase, 'container')} is not set, so Velero uses the first container, ${target}.`
          : `${hookKey(phase, 'container')} is ${target}, but the sidecar is ${facts.sidecar?.name}.`;
      }
    },
  },
  {
    code: 'HOOK_ON_ERROR',
    severity: 'warning',
    title: 'The on-error of a hook is not set, or its value is unknown to Velero',
    why: 'Velero then behaves as with Continue, although its documentation says that the default is Fail.',
    fix: 'Set pre.hook.backup.velero.io/on-error: Continue and post.hook.backup.velero.io/on-error: Fail.',
    *check(facts) {
      for (const { phase, onError } of ownHooks(facts)) {
        if (onError === 'Fail' || onError === 'Continue') continue;
        const found = onError === undefined ? 'not set' : JSON.stringify(onError);
        yield `${hookKey(phase, 'on-error')} is ${found}, so Velero behaves as with Continue.`;
      }
    },
  },
  {
    code: 'HOOK_PRE_FAILS',
    severity: 'warning',
    title: 'The on-error of the pre hook is Fail',
    why: 'If a pre hook with Fail fails, Velero skips the post hook but still copies the volume: there is no thaw and no verdict.',
    fix: 'Set pre.hook.backup.velero.io/on-error: Continue; a failed freeze marks the backup either way.',
    *check(facts) {
      const pre = ownHooks(facts).find(({ phase }) => phase === 'pre');
      if (pre?.onError === 'Fail') {
        yield `${hookKey('pre', 'on-error')} is Fail: after a failed freeze there is no thaw and no verdict.`;
      }
    },
  },
  {
    code: 'HOOK_TIMEOUT_UNREADABLE',
    severity: 'warning',
    title: 'Velero cannot parse the timeout of a hook',
    why: 'Velero uses 30s instead.',
    fix: 'Write a number with a unit: 30s, 2m.',
    *check(facts) {
      for (const { phase, timeout } of hooksOf(facts)) {
        if (timeout === undefined || parseGoDuration(timeout) !== undefined) continue;
        const message = `${hookKey(phase, 'timeout')} is ${JSON.stringify(timeout)}: Velero waits 30s.`;
        // Without a unit: the same number with one.
        const fix = /^\d+$/.test(timeout) ? `Write ${timeout}s.` : undefined;
        yield fix === undefined ? message : { message, fix };
      }
    },
  },
  {
    code: 'HOOK_TIMEOUTS_CONTRADICT',
    severity: 'error',
    title: 'The timeout of the freeze is not shorter than that of its hook',
    why: 'Velero stops waiting for a late hook but does not stop its command: the database could freeze after the backup has moved on.',
    fix: 'Keep --timeout of the freeze (or QUIESCE_FREEZE_TIMEOUT) a few seconds below the timeout of the hook; quiesce.dev/hook-timeout sets both.',
    *check(facts) {
      const pre = runnable(facts).find(({ phase }) => phase === 'pre');
      if (pre === undefined) return;
      const flag = flagsOf(pre).timeout;
      const configured = facts.env.plain('QUIESCE_FREEZE_TIMEOUT');
      const ms = parseDuration(flag ?? configured ?? '') ?? FREEZE_TIMEOUT_MS;
      const limit = limitOf(pre);
      if (ms < limit) return;
      const by = flag === undefined ? 'QUIESCE_FREEZE_TIMEOUT' : '--timeout';
      const given = pre.timeout === undefined ? ', Velero’s default' : '';
      yield `The freeze may take ${durationText(ms)} (${by}), but its hook has ${durationText(limit)}${given}.`;
    },
  },
  {
    code: 'HOOK_TOO_SHORT',
    severity: 'warning',
    title: 'The hook of the freeze may be too short to copy the data',
    why: 'With copy: files, a freeze of an engine whose writers go on copies the data aside first. If that takes longer than the hook, the freeze ends with FREEZE_TIMEOUT.',
    fix: 'Set quiesce.dev/hook-timeout to what the data needs, and remove the timeout of the hook: 200 MB took 13 s on a small disk.',
    *check(facts) {
      const pre = runnable(facts).find(({ phase }) => phase === 'pre');
      const engine = facts.database?.profile.name;
      if (pre === undefined || engine === undefined || !copiesAside(engine, facts.copy)) return;
      const limit = limitOf(pre);
      if (limit > HOOK_TIMEOUT_MS) return;
      const given = pre.timeout === undefined ? ', Velero’s default' : '';
      yield `copy is files, and the hook of the freeze has ${durationText(limit)}${given}.`;
    },
  },
  {
    code: 'TTL_TOO_SHORT',
    severity: 'warning',
    title: 'The lease is shorter than the backup needs',
    why: 'It expires while the volumes are still being copied or before the thaw arrives: the backup is inconsistent.',
    fix: 'Make quiesce.dev/ttl longer, or remove it: the default is 10m if writes continue during the freeze, and 60s if they wait.',
    *check(facts) {
      const hooks = runnable(facts);
      const pre = hooks.find(({ phase }) => phase === 'pre');
      const post = hooks.find(({ phase }) => phase === 'post');
      const flag = pre === undefined ? undefined : flagsOf(pre).ttl;
      const ms = parseDuration(flag ?? facts.env.plain('QUIESCE_TTL') ?? '');
      if (ms === undefined || post === undefined) return;
      const copying = POLL_MS * Math.max(1, facts.persistent.length);
      const needed = Math.max(limitOf(post), copying);
      if (ms >= needed) return;
      const what =
        needed > limitOf(post)
          ? `copies of ${counted(facts.persistent.length, 'volume')}, one after the other, take ${durationText(needed)} or more`
          : `the hook of the thaw alone may take ${durationText(needed)}`;
      yield `The lease lasts ${durationText(ms)}, but ${what}.`;
    },
  },
];

function shorten(command: string): string {
  return command.length > 100 ? `${command.slice(0, 100)}…` : command;
}
