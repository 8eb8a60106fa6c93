import { argv, hookKey, isQuiesce, type Phase, VERBS } from '../inject/hooks.ts';
import { isSidecar } from '../inject/container.ts';
import type { Facts } from '../inventory/pod-facts.ts';
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
} from '../inventory/catalog.ts';
import { selects } from '../inventory/selectors.ts';
import {
  covers,
  schedulesFor,
  takesNamespace,
  takesPods,
  type Velero,
} from '../inventory/velero.ts';

/** One call of quiesce that a backup makes in a pod. */
export interface Call {
  readonly phase: Phase;
  readonly verb: 'freeze' | 'thaw';
  /** Whose container: two sidecars of a pod know nothing of each other. */
  readonly sidecar: string;
  /** Where it is written, as `by …`. */
  readonly from: string;
  /** A call that another of its kind does not disturb: `freeze --renew`, `thaw --abandon`. */
  readonly harmless: boolean;
}

/** A hook, wherever it is written. */
export interface Exec {
  readonly phase: Phase;
  readonly words: readonly string[];
  readonly container: string | undefined;
  readonly from: string;
}

/** A backup that takes a pod, and what it does there, in order. */
export interface BackupCalls {
  /** `velero Schedule/nightly`. */
  readonly name: string;
  /** Its own hooks that run in the pod. */
  readonly own: readonly Exec[];
  /** Its own hooks in whose place an annotation of the pod runs. */
  readonly replaced: readonly Exec[];
  readonly calls: readonly Call[];
}

/** Every Schedule, and every Backup still to run, that takes the pod. */
export function backupCalls(velero: Velero, facts: Facts): readonly BackupCalls[] {
  const specs: (readonly [KubeObject, unknown])[] = [
    ...schedulesFor(velero, facts).map((one) => [one, at(one, 'spec', 'template')] as const),
    ...velero.backups
      .filter((one) => covers(at(one, 'spec'), facts))
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
        .flatMap((exec) => call(facts, exec)),
    };
  });
}

/** As Velero does it: an annotation takes the place of all hooks of the backup for its phase. */
function phaseOf(facts: Facts, spec: unknown, phase: Phase) {
  const own = listAt(spec, 'hooks', 'resources')
    .filter((one) => applies(one, facts))
    .flatMap((one) =>
      listAt(one, phase).map((hook, index): Exec => ({
        phase,
        words: textsAt(hook, 'exec', 'command'),
        container: textAt(hook, 'exec', 'container'),
        from: `by ${phase}[${index}] of ${textAt(one, 'name') ?? 'a hook without a name'} in spec.hooks`,
      })),
    );
  return { annotated: annotatedExec(facts, phase), own };
}

/** Before there were phases an annotation had none in its name; Velero still takes it for `pre`. */
function annotatedExec({ annotations }: Facts, phase: Phase): Exec | undefined {
  const keys = [hookKey(phase, 'command'), ...(phase === 'pre' ? [LEGACY] : [])];
  const key = keys.find((one) => (annotations[one] ?? '') !== '');
  if (key === undefined) return undefined;
  const container = annotations[key.replace(/command$/, 'container')];
  const words = argv(annotations[key] ?? '');
  return { phase, words, container, from: `by the annotation ${key}` };
}

const LEGACY = 'hook.backup.velero.io/command';

function applies(hook: unknown, { subject, pod }: Facts): boolean {
  return (
    takesNamespace(hook, subject.namespace) &&
    takesPods(hook, 'Resources') &&
    selects(at(hook, 'labelSelector'), labelsOf(pod))
  );
}

function call(facts: Facts, { phase, words, container, from }: Exec): readonly Call[] {
  const verb = verbOf(words);
  if (verb === undefined) return [];
  const text = words.join(' ');
  const harmless =
    verb === 'freeze'
      ? /(?:^|\s)--renew\b|"renew"\s*:\s*true/.test(text)
      : /(?:^|\s)--abandon\b|"abandon"\s*:\s*true/.test(text);
  const containers = facts.pod.spec?.containers ?? [];
  const target = containers.find(({ name }) => name === (container ?? containers[0]?.name));
  // Another container reaches the same sidecar through its socket or its port.
  const own = target !== undefined && isSidecar(target) ? target : facts.sidecar;
  return [{ phase, verb, sidecar: own?.name ?? '', from, harmless }];
}

/** What a command asks of the sidecar: itself, through a shell, or by HTTP. */
export function verbOf(words: readonly string[]): Call['verb'] | undefined {
  const [program, verb] = words;
  const verbs = Object.values(VERBS);
  if (isQuiesce(program)) return verbs.find((one) => one === verb);
  const text = words.join(' ');
  const match =
    /(?:^|[\s;&|(/])quiesce\s+(freeze|thaw)\b/.exec(text) ?? /\/v1\/(freeze|thaw)\b/.exec(text);
  return verbs.find((one) => one === match?.[1]);
}

/** The calls that come when another has done their work already, each with the one before it. */
export function repeated(calls: readonly Call[]): readonly (readonly [Call, Call])[] {
  const found: (readonly [Call, Call])[] = [];
  const last = new Map<string, Call>();
  for (const one of calls.filter(({ harmless }) => !harmless)) {
    const before = last.get(one.sidecar);
    if (before?.verb === one.verb) found.push([before, one]);
    last.set(one.sidecar, one);
  }
  return found;
}
