import type { ClusterReader } from '../api/reader.ts';
import type { PodFacts } from '../inventory/pod-facts.ts';
import { RESTORE_ANNOTATION, RESTORE_LABEL } from '../objects/names.ts';
import { at, listAt, textAt } from '../objects/kube-object.ts';
import type { Finding, RuleText } from './rule.ts';
import { PROBE } from './rules/probe.ts';

/** How many sidecars are asked at the same time. */
const AT_ONCE = 8;

type Ask = ClusterReader['run'];

/**
 * Runs `quiesce status` and `quiesce metadata`, which change nothing, in every running sidecar. A grant
 * that only a freeze needs shows up only in the last receipt.
 */
export async function probe(facts: readonly PodFacts[], ask: Ask): Promise<readonly Finding[]> {
  const waiting = facts.filter(
    ({ view, injection, sidecar }) =>
      view.live !== undefined && injection === undefined && sidecar !== undefined,
  );
  const findings: Finding[] = [];
  const work = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      findings.push(...(await probeOne(one, ask)));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return findings;
}

async function probeOne(
  { workload, view, sidecar }: PodFacts,
  ask: Ask,
): Promise<readonly Finding[]> {
  const pod = view.live ?? '';
  const place = { namespace: workload.namespace, pod, container: sidecar?.name ?? '' };
  const object = { kind: workload.kind, name: workload.name, namespace: workload.namespace };
  const finding = ({ code, severity, fix }: RuleText, message: string): Finding => ({
    code,
    severity,
    object,
    pods: workload.kind === 'Pod' ? [] : [pod],
    message,
    fix,
  });
  const run = async (verb: string): Promise<unknown> => {
    const { stdout, stderr } = await ask(place, ['quiesce', verb, '-o', 'json']);
    try {
      return JSON.parse(stdout) as unknown;
    } catch {
      throw new Error(stderr.trim() || 'its answer is not JSON');
    }
  };
  try {
    const status = await run('status');
    if (textAt(status, 'state') === undefined) throw new Error('its status has no state');
    const reachable = at(status, 'engine', 'reachable') === true;
    const now = reachable ? [...readMetadata(await run('metadata'))] : [];
    const known = now.some(([rule]) => rule === PROBE.grants);
    // What the role lacks now says more than what it lacked at the last freeze.
    const before = [...readStatus(status)].filter(([rule]) => rule !== PROBE.grants || !known);
    const results = [...before, ...now];
    return results.map(([rule, message]) => finding(rule, message));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [finding(PROBE.failed, `The sidecar gave no answer: ${oneSentence(reason)}`)];
  }
}

type Result = readonly [rule: RuleText, message: string];

function* readStatus(status: unknown): Iterable<Result> {
  if (at(status, 'engine', 'reachable') !== true) {
    const reason = textAt(status, 'engine', 'message') ?? 'no reason given';
    yield [PROBE.unreachable, `Its sidecar reports: ${oneSentence(reason)}`];
  }
  yield* readRestore(at(status, 'restore'));
  const last = at(status, 'lastReceipt');
  if (textAt(last, 'verdict') === 'inconsistent') {
    const reasons = at(last, 'reasons');
    const list = Array.isArray(reasons) ? reasons.map(String).join(', ') : '';
    yield [PROBE.inconsistent, `The last freeze (${textAt(last, 'id')}) is inconsistent: ${list}.`];
  }
  const notes = at(last, 'notes');
  const grants = (Array.isArray(notes) ? notes.map(String) : []).filter((note) =>
    /\bGRANT\b|lacks/.test(note),
  );
  for (const note of grants) yield [PROBE.grants, `The last receipt notes: ${oneSentence(note)}`];
}

function* readRestore(restore: unknown): Iterable<Result> {
  const reason = textAt(restore, 'reason');
  const found = oneSentence(textAt(restore, 'message') ?? 'no reason given');
  const content = textAt(restore, 'content', 'state');
  const deep = oneSentence(textAt(restore, 'content', 'message') ?? 'no reason given');
  // A sidecar of an earlier version reports no level.
  const level =
    textAt(restore, 'level') ?? (at(restore, 'verified') === false ? 'refused' : undefined);
  if (level === 'unproven') {
    yield [PROBE.unproven, `Its restore is unproven (${reason ?? 'unchecked'}): ${found}`];
  } else if (level === 'refused') {
    yield [PROBE.restore, `Its sidecar reports: ${found}`];
  } else if (content === 'failed') {
    yield [PROBE.restore, `The deep check of its restored data failed: ${deep}`];
  } else if (content === 'unchecked') {
    yield [PROBE.content, `The deep check of its restored data could not look: ${deep}`];
  }
}

/**
 * For running pods that a restore made and whose sidecars were not asked: nothing in the cluster shows how
 * far their data is proven.
 */
export function restoredNotAsked(facts: readonly PodFacts[]): readonly Finding[] {
  return facts.flatMap(({ workload, view, injection, sidecar, pod, annotations }) => {
    const mark =
      textAt(pod, 'metadata', 'labels', RESTORE_LABEL) ?? annotations[RESTORE_ANNOTATION];
    if (view.live === undefined || injection !== undefined || sidecar === undefined || !mark) {
      return [];
    }
    const { code, severity, fix } = PROBE.notAsked;
    const { kind, name, namespace } = workload;
    const message = `The restore ${mark} made it, and its sidecar was not asked whether the data is proven.`;
    const pods = kind === 'Pod' ? [] : [view.live];
    return [{ code, severity, object: { kind, name, namespace }, pods, message, fix }];
  });
}

function* readMetadata(answer: unknown): Iterable<Result> {
  for (const warning of listAt(answer, 'warnings')) {
    if (textAt(warning, 'code') !== 'grants-missing') continue;
    yield [PROBE.grants, oneSentence(textAt(warning, 'message') ?? 'no statement given')];
  }
  const code = textAt(answer, 'error', 'code');
  if (code === undefined) return;
  const message = oneSentence(textAt(answer, 'error', 'message') ?? 'no reason given');
  yield [code === 'ENGINE_PRIVILEGE' ? PROBE.grants : PROBE.unreachable, `${code}: ${message}`];
}

function oneSentence(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .replace(/([^.!?;])$/, '$1.');
}
