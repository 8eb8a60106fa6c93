import type { ClusterReader } from '../api/reader.ts';
import { type Facts } from '../inventory/pod-facts.ts';
import { at, textAt } from '../inventory/catalog.ts';
import type { Finding, RuleText } from './rule.ts';
import { PROBE } from './rules/probe.ts';

/** Asks so many sidecars at once. */
const AT_ONCE = 8;

type Ask = ClusterReader['run'];

/**
 * Asks every running sidecar what it says of itself and of its database: `quiesce status` and
 * `quiesce metadata`, which change nothing. Grants that only a freeze needs show in the last receipt.
 */
export async function probe(facts: readonly Facts[], ask: Ask): Promise<readonly Finding[]> {
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

async function probeOne({ subject, view, sidecar }: Facts, ask: Ask): Promise<readonly Finding[]> {
  const pod = view.live ?? '';
  const place = { namespace: subject.namespace, pod, container: sidecar?.name ?? '' };
  const object = { kind: subject.kind, name: subject.name, namespace: subject.namespace };
  const finding = ({ code, severity, fix }: RuleText, message: string): Finding => ({
    code,
    severity,
    object,
    pods: subject.kind === 'Pod' ? [] : [pod],
    message,
    fix,
  });
  const run = async (verb: string): Promise<unknown> => {
    const { stdout, stderr } = await ask(place, ['quiesce', verb, '-o', 'json']);
    try {
      return JSON.parse(stdout) as unknown;
    } catch {
      throw new Error(stderr.trim() || 'it answered nothing that can be read');
    }
  };
  try {
    const status = await run('status');
    if (textAt(status, 'state') === undefined) throw new Error('its status cannot be read');
    const said = [...readStatus(status)];
    const reachable = at(status, 'engine', 'reachable') === true;
    if (reachable) said.push(...readMetadata(await run('metadata')));
    return said.map(([rule, message]) => finding(rule, message));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [finding(PROBE.failed, `It could not be asked: ${oneSentence(reason)}`)];
  }
}

type Line = readonly [rule: RuleText, message: string];

function* readStatus(status: unknown): Iterable<Line> {
  if (at(status, 'engine', 'reachable') !== true) {
    const reason = textAt(status, 'engine', 'message') ?? 'no reason given';
    yield [PROBE.unreachable, `Its sidecar says: ${oneSentence(reason)}`];
  }
  if (at(status, 'restore', 'verified') === false) {
    const reason = textAt(status, 'restore', 'message') ?? 'no reason given';
    yield [PROBE.restore, `Its sidecar says: ${oneSentence(reason)}`];
  }
  const last = at(status, 'lastReceipt');
  if (textAt(last, 'verdict') === 'inconsistent') {
    const reasons = at(last, 'reasons');
    const list = Array.isArray(reasons) ? reasons.map(String).join(', ') : '';
    yield [PROBE.inconsistent, `The last freeze (${textAt(last, 'id')}) ended with ${list}.`];
  }
  const notes = at(last, 'notes');
  const grants = (Array.isArray(notes) ? notes.map(String) : []).filter((note) =>
    /\bGRANT\b|lacks/.test(note),
  );
  for (const note of grants) yield [PROBE.grants, `The last receipt says: ${oneSentence(note)}`];
}

function* readMetadata(answer: unknown): Iterable<Line> {
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
