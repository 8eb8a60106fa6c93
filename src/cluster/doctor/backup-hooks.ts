import { argv, hookKey, isQuiesce, type Phase, VERBS } from '../inject/hooks.ts';
import { isSidecar } from '../inject/container.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import { PHASES } from './hooks.ts';
import {
  at,
  type KubeObject,
  labelsOf,
  listAt,
  refOf,
  refText,
  textAt,
  textsAt,
} from '../objects/kube-object.ts';
import { selects } from '../inventory/selectors.ts';
import {
  includesPod,
  schedulesFor,
  includesNamespace,
  includesPods,
  type Velero,
} from '../inventory/velero.ts';

/** A command in a pod by which a backup calls quiesce. */
export interface QuiesceCall {
  readonly phase: Phase;
  readonly verb: 'freeze' | 'thaw';
  /** The container of the sidecar it reaches: two sidecars in a pod work independently. */
  readonly sidecar: string;
  /** Where the hook is defined, for a message: `by …`. */
  readonly from: string;
  /** It may be made in addition to a freeze or a thaw: `freeze --renew`, `thaw --abandon`. */
  readonly harmless: boolean;
}

/** The command of a hook, from an annotation or from a backup. */
export interface HookCommand {
  readonly phase: Phase;
  readonly words: readonly string[];
  readonly container: string | undefined;
  readonly from: string;
}

/** A backup that includes a pod, and the hooks it runs there, in order. */
export interface BackupCalls {
  /** `velero Schedule/nightly`. */
  readonly name: string;
  /** Hooks of the backup that run in the pod. */
  readonly own: readonly HookCommand[];
  /** Hooks of the backup that do not run, because an annotation of the pod takes their place. */
  readonly replaced: readonly HookCommand[];
  readonly calls: readonly QuiesceCall[];
}

/** All Schedules, and all Backups that have not run yet, that include the pod. */
export function backupCalls(velero: Velero, facts: PodFacts): readonly BackupCalls[] {
  const specs: (readonly [KubeObject, unknown])[] = [
    ...schedulesFor(velero, facts).map((one) => [one, at(one, 'spec', 'template')] as const),
    ...velero.backups
      .filter((one) => includesPod(at(one, 'spec'), facts))
      .map((one) => [one, at(one, 'spec')] as const),
  ];
  return specs.map(([object, spec]) => {
    const phases = PHASES.map((phase) => phaseOf(facts, spec, phase));
    return {
      name: refText(refOf(object)),
      own: phases.flatMap(({ annotated, own }) => (annotated === undefined ? own : [])),
      replaced: phases.flatMap(({ annotated, own }) => (annotated === undefined ? [] : own)),
      calls: phases
        .flatMap(({ annotated, own }) => (annotated === undefined ? own : [annotated]))
        .flatMap((command) => callsIn(facts, command)),
    };
  });
}

/** Follows Velero: an annotation of the pod replaces all hooks of the backup for that phase. */
function phaseOf(facts: PodFacts, spec: unknown, phase: Phase) {
  const own = listAt(spec, 'hooks', 'resources')
    .filter((one) => applies(one, facts))
    .flatMap((one) =>
      listAt(one, phase).map((hook, index): HookCommand => ({
        phase,
        words: textsAt(hook, 'exec', 'command'),
        container: textAt(hook, 'exec', 'container'),
        from: `by ${phase}[${index}] of ${textAt(one, 'name') ?? 'a hook without a name'} in spec.hooks`,
      })),
    );
  return { annotated: annotatedExec(facts, phase), own };
}

/** Annotations of old versions of Velero have no phase in their name; Velero still reads them as `pre`. */
function annotatedExec({ annotations }: PodFacts, phase: Phase): HookCommand | undefined {
  const keys = [hookKey(phase, 'command'), ...(phase === 'pre' ? [LEGACY] : [])];
  const key = keys.find((one) => (annotations[one] ?? '') !== '');
  if (key === undefined) return undefined;
  const container = annotations[key.replace(/command$/, 'container')];
  const words = argv(annotations[key] ?? '');
  return { phase, words, container, from: `by the annotation ${key}` };
}

const LEGACY = 'hook.backup.velero.io/command';

function applies(hook: unknown, { workload, pod }: PodFacts): boolean {
  return (
    includesNamespace(hook, workload.namespace) &&
    includesPods(hook, 'Resources') &&
    selects(at(hook, 'labelSelector'), labelsOf(pod))
  );
}

function callsIn(
  facts: PodFacts,
  { phase, words, container, from }: HookCommand,
): readonly QuiesceCall[] {
  const verb = verbOf(words);
  if (verb === undefined) return [];
  const text = words.join(' ');
  const harmless =
    verb === 'freeze'
      ? /(?:^|\s)--renew\b|"renew"\s*:\s*true/.test(text)
      : /(?:^|\s)--abandon\b|"abandon"\s*:\s*true/.test(text);
  const containers = facts.pod.spec?.containers ?? [];
  const target = containers.find(({ name }) => name === (container ?? containers[0]?.name));
  // A command in another container reaches the pod's sidecar through its socket or its port.
  const own = target !== undefined && isSidecar(target) ? target : facts.sidecar;
  return [{ phase, verb, sidecar: own?.name ?? '', from, harmless }];
}

/** The verb that a command runs, directly, through a shell or over HTTP; `undefined`: neither verb. */
export function verbOf(words: readonly string[]): QuiesceCall['verb'] | undefined {
  const [program, verb] = words;
  const verbs = Object.values(VERBS);
  if (isQuiesce(program)) return verbs.find((one) => one === verb);
  const text = words.join(' ');
  const match =
    /(?:^|[\s;&|(/])quiesce\s+(freeze|thaw)\b/.exec(text) ?? /\/v1\/(freeze|thaw)\b/.exec(text);
  return verbs.find((one) => one === match?.[1]);
}

/** Pairs of calls to one sidecar with the same verb and no other verb between them. */
export function repeated(
  calls: readonly QuiesceCall[],
): readonly (readonly [QuiesceCall, QuiesceCall])[] {
  const found: (readonly [QuiesceCall, QuiesceCall])[] = [];
  const last = new Map<string, QuiesceCall>();
  for (const one of calls.filter(({ harmless }) => !harmless)) {
    const before = last.get(one.sidecar);
    if (before?.verb === one.verb) found.push([before, one]);
    last.set(one.sidecar, one);
  }
  return found;
}
