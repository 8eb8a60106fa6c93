import { FREEZE_TIMEOUT_MS, HOOK_TIMEOUT_MS } from '../../../defaults.ts';
import { durationText } from '../../inject/hooks.ts';
import { hookKey, parseGoDuration, VERBS } from '../../inject/hooks.ts';
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
  ownHooks,
  PHASES,
} from '../hooks.ts';
import type { PodRule } from '../rule.ts';

/** How long a freeze lasts at the least, a volume: Velero looks for a snapshot every five seconds. */
const POLL_MS = 5_000;

/** Those whose command can be run as it is. */
function runnable(facts: PodFacts): readonly HookAnnotations[] {
  return ownHooks(facts).filter(
    (hook) => !isOneWord(hook.command) && problemOf(hook) === undefined,
  );
}

function flagsOf({ phase, words }: HookAnnotations): Arguments {
  return parseArguments(VERBS[phase], words.slice(2));
}

/** What quiesce would say of its command line. */
function problemOf(hook: HookAnnotations): string | undefined {
  const { phase, words } = hook;
  if (words[1] !== VERBS[phase]) {
    return `runs quiesce ${words[1] ?? ''}, and must run quiesce ${VERBS[phase]}`.replace(
      '  ',
      ' ',
    );
  }
  if (phase === 'post' && words.includes('--abandon')) {
    return 'gives up the freeze (--abandon) and succeeds: every backup passes, and nothing vouches for it';
  }
  if (words.some((word) => /^--idempotency-key(?:=|$)/.test(word))) {
    return 'has an --idempotency-key, which is the same in each backup: the second is answered as the first was';
  }
  try {
    flagsOf(hook);
    return undefined;
  } catch (error) {
    if (!(error instanceof QuiesceError)) throw error;
    return `is refused by quiesce: ${error.message.replace(/\.$/, '')}`;
  }
}

/** How long Velero waits for it. */
function limitOf({ timeout }: HookAnnotations): number {
  return (timeout === undefined ? undefined : parseGoDuration(timeout)) ?? HOOK_TIMEOUT_MS;
}

export const hookRules: readonly PodRule[] = [
  {
    code: 'HOOKS_OVERWRITTEN',
    severity: 'error',
    title: 'A hook of somebody else’s stands where quiesce’s should',
    why: 'Velero runs one annotated hook a phase. quiesce never overwrites a user’s own, so nothing freezes here.',
    fix: 'Remove these annotations from the pod template; docs/migration.md says what takes the place of each.',
    *check(facts) {
      if (facts.sidecar === undefined) return;
      for (const { phase, command, ours } of hooksOf(facts)) {
        if (!ours) yield `${hookKey(phase, 'command')} is ${shorten(command)}, no call of quiesce.`;
      }
    },
  },
  {
    code: 'HOOK_COMMAND_UNREADABLE',
    severity: 'error',
    title: 'The command of a hook is no JSON array',
    why: 'Velero takes it as the name of one program, blanks and all; no shell splits it.',
    fix: `Write a JSON array: ${CORRECT_COMMANDS}.`,
    *check(facts) {
      for (const { phase, command } of ownHooks(facts)) {
        if (isOneWord(command)) yield `${hookKey(phase, 'command')} is ${shorten(command)}.`;
      }
    },
  },
  {
    code: 'HOOK_COMMAND_INVALID',
    severity: 'error',
    title: 'A hook calls quiesce in a way that it refuses, or for something else',
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
    title: 'A hook points to a container that is not there',
    why: 'Velero cannot run it: the hook fails, and the backup is PartiallyFailed.',
    fix: `Set the annotation to ${CONTAINER}, and see that the pod has that container (docs/webhook.md).`,
    *check({ annotations, pod, native }) {
      const plain = pod.spec?.containers?.map(({ name }) => name) ?? [];
      const init = pod.spec?.initContainers?.map(({ name }) => name) ?? [];
      for (const phase of PHASES) {
        const name = annotations[hookKey(phase, 'container')];
        if (name === undefined || plain.includes(name) || name === native?.name) continue;
        const where = init.includes(name) ? ', an init container, where no hook runs' : '';
        yield `${hookKey(phase, 'container')} is ${name}${where || `, which is none of its containers (${plain.join(', ')})`}.`;
      }
    },
  },
  {
    code: 'HOOK_CONTAINER_WRONG',
    severity: 'error',
    title: 'A hook of quiesce runs in another container',
    why: 'That container has neither the program nor the sidecar’s socket. Without the annotation Velero takes the first container.',
    fix: `Set the annotation to ${CONTAINER}.`,
    *check(facts) {
      const containers = facts.pod.spec?.containers ?? [];
      for (const { phase, container } of ownHooks(facts)) {
        const target = container ?? containers[0]?.name;
        if (target === facts.sidecar?.name || !containers.some(({ name }) => name === target))
          continue;
        yield container === undefined
          ? `${hookKey(phase, 'container')} is not set, so Velero takes the first container, ${target}.`
          : `${hookKey(phase, 'container')} is ${target}, and the sidecar is ${facts.sidecar?.name}.`;
      }
    },
  },
  {
    code: 'HOOK_ON_ERROR',
    severity: 'warning',
    title: 'A hook’s on-error is not set, or is no value that Velero knows',
    why: 'Unset it behaves as Continue, though Velero’s documentation says Fail.',
    fix: 'Set pre.hook.backup.velero.io/on-error: Continue and post.hook.backup.velero.io/on-error: Fail.',
    *check(facts) {
      for (const { phase, onError } of ownHooks(facts)) {
        if (onError === 'Fail' || onError === 'Continue') continue;
        const found = onError === undefined ? 'not set' : JSON.stringify(onError);
        yield `${hookKey(phase, 'on-error')} is ${found}: Velero goes on as with Continue.`;
      }
    },
  },
  {
    code: 'HOOK_PRE_FAILS',
    severity: 'warning',
    title: 'The pre hook’s on-error is Fail',
    why: 'After a pre hook that failed with Fail Velero skips the post hook, so nobody thaws and no verdict is given, and copies the volume all the same.',
    fix: 'Set pre.hook.backup.velero.io/on-error: Continue; a failed freeze marks the backup either way.',
    *check(facts) {
      const pre = ownHooks(facts).find(({ phase }) => phase === 'pre');
      if (pre?.onError === 'Fail') {
        yield `${hookKey('pre', 'on-error')} is Fail: a freeze that fails costs the thaw and its verdict.`;
      }
    },
  },
  {
    code: 'HOOK_TIMEOUT_UNREADABLE',
    severity: 'warning',
    title: 'A hook’s timeout is no duration that Velero can read',
    why: 'Velero takes 30s instead, whatever was meant.',
    fix: 'Write a number with a unit: 30s, 2m.',
    *check(facts) {
      for (const { phase, timeout } of ownHooks(facts)) {
        if (timeout === undefined || parseGoDuration(timeout) !== undefined) continue;
        yield `${hookKey(phase, 'timeout')} is ${JSON.stringify(timeout)}: Velero waits 30s.`;
      }
    },
  },
  {
    code: 'HOOK_TIMEOUTS_CONTRADICT',
    severity: 'error',
    title: 'The freeze may take as long as its hook, or longer',
    why: 'Velero abandons a late hook without stopping it: the database could freeze after everybody has left.',
    fix: 'Keep the freeze’s --timeout (or QUIESCE_FREEZE_TIMEOUT) some seconds below the hook’s timeout; quiesce.dev/hook-timeout sets both.',
    *check(facts) {
      const pre = runnable(facts).find(({ phase }) => phase === 'pre');
      if (pre === undefined) return;
      const flag = flagsOf(pre).timeout;
      const configured = facts.env.plain('QUIESCE_FREEZE_TIMEOUT');
      const ms = parseDuration(flag ?? configured ?? '') ?? FREEZE_TIMEOUT_MS;
      const limit = limitOf(pre);
      if (ms < limit) return;
      const by = flag === undefined ? 'QUIESCE_FREEZE_TIMEOUT' : '--timeout';
      const given = pre.timeout === undefined ? ', Velero’s own' : '';
      yield `The freeze may take ${durationText(ms)} (${by}), and its hook has ${durationText(limit)}${given}.`;
    },
  },
  {
    code: 'TTL_TOO_SHORT',
    severity: 'warning',
    title: 'The lease is shorter than what it has to outlast',
    why: 'It ends while the volumes are being copied or the thaw is still on its way: the backup is not consistent.',
    fix: 'Make quiesce.dev/ttl longer, or leave it out: 10m where writers go on, 60s where they wait.',
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
          ? `copies of ${facts.persistent.length} volumes, one after the other, take ${durationText(needed)} or more`
          : `the thaw’s hook alone has ${durationText(needed)}`;
      yield `The lease lasts ${durationText(ms)}, and ${what}.`;
    },
  },
];

function shorten(command: string): string {
  return command.length > 100 ? `${command.slice(0, 100)}…` : command;
}
