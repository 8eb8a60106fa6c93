import { groupBy } from '../../lib/group-by.ts';
import type { PodConnection } from '../api/reader.ts';
import { each } from '../api/objects.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, listAt, textAt } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';
import { locate } from '../health/locate.ts';
import { isReady } from '../health/pods/judge-pod.ts';
import type { PlanMember } from '../plan/document.ts';
import type { PlannedMember } from '../plan/planned.ts';
import type { Link } from './document.ts';
import { runInside } from './inside.ts';
import { namesIn, type Port, type Wanted, wantedOf } from './targets.ts';

const CONNECT_WITHIN = '4s';
const ANSWER_WITHIN_MS = 20_000;
const AT_ONCE = 10;

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection is refused: nothing listens there',
  ENOTFOUND: 'nobody has that name',
  EAI_AGAIN: 'the name cannot be resolved: the DNS of the cluster does not answer',
  ETIMEDOUT: 'no answer: a NetworkPolicy, or a node that is down',
  EHOSTUNREACH: 'no way leads there',
  ECONNRESET: 'the connection is reset',
};

/** Tries every link that a member states, from the network of one of its pods. */
export async function checkLinks(
  connection: Pick<PodConnection, 'exec'>,
  members: readonly PlannedMember[],
  catalog: Catalog,
  signal: AbortSignal,
): Promise<readonly Link[]> {
  const found = await each(
    members,
    async (member) => {
      const wanted = namesIn(member.annotations).map((text) =>
        wantedOf(text, member, members, catalog),
      );
      return wanted.length === 0 ? [] : await linksOf(connection, member, wanted, catalog, signal);
    },
    AT_ONCE,
  );
  return found.flat();
}

async function linksOf(
  connection: Pick<PodConnection, 'exec'>,
  member: PlannedMember,
  wanted: readonly Wanted[],
  catalog: Catalog,
  signal: AbortSignal,
): Promise<readonly Link[]> {
  const from = { namespace: member.namespace, kind: member.kind, name: member.name };
  const pods = locate(catalog, [member as PlanMember]).flatMap((one) => one.pods);
  // A pod that is not ready may be so because of the very link.
  const able = pods
    .filter((pod) => sidecarContainer(pod)?.running === true)
    .toSorted((a, b) => Number(isReady(b)) - Number(isReady(a)));
  const [pod] = able;
  const nowhere = wanted
    .filter(({ ports }) => ports.length === 0)
    .map(({ to, why = 'nothing was found' }): Link => ({
      from,
      to,
      how: 'none',
      ok: false,
      message: why,
    }));
  const some = wanted.flatMap(({ to, ports }) => ports.map((port) => ({ to, port })));
  if (some.length === 0) return nowhere;
  const tried =
    pod === undefined
      ? undefined
      : await tryAll(
          connection,
          pod,
          some.map(({ port }) => port),
          signal,
        );
  const links = some.map(({ to, port }): Link => {
    const base = { from, to, target: port.target };
    const answer =
      tried === undefined || 'why' in tried ? undefined : tried.answers.get(port.target);
    if (answer !== undefined && pod !== undefined) {
      const message = `${port.target} is ${answer.ok ? 'reached' : `not reached: ${answer.message}`}`;
      return {
        ...base,
        pod: pod.metadata?.name ?? '',
        how: 'tcp',
        ok: answer.ok,
        message: `${message}.`,
      };
    }
    return {
      ...base,
      ...byEndpoints(port, tried !== undefined && 'why' in tried ? tried.why : undefined),
    };
  });
  return [...nowhere, ...links];
}

/** Without a sidecar to try from, only whether something is there to be reached. */
function byEndpoints(
  { target, ends }: Port,
  why: string | undefined,
): Pick<Link, 'how' | 'ok' | 'message'> {
  const reason = why ?? 'none of its pods has a sidecar to try from';
  if (ends === undefined) return { how: 'none', ok: false, message: `${reason}.` };
  if (ends.ready === 0) {
    return { how: 'endpoints', ok: false, message: `${target} leads to no pod that is ready.` };
  }
  const text = `${target} leads to ${ends.ready} ready ${ends.ready === 1 ? 'pod' : 'pods'}; not tried: ${reason}.`;
  return { how: 'endpoints', ok: true, message: text };
}

interface Answers {
  readonly answers: ReadonlyMap<string, { readonly ok: boolean; readonly message: string }>;
}

async function tryAll(
  connection: Pick<PodConnection, 'exec'>,
  pod: KubeObject,
  ports: readonly Port[],
  signal: AbortSignal,
): Promise<Answers | { readonly why: string }> {
  const targets = [...groupBy(ports, ({ target }) => target).keys()];
  const words = [
    'reach',
    '--timeout',
    CONNECT_WITHIN,
    ...targets.flatMap((one) => ['--target', one]),
  ];
  const said = await runInside(connection, pod, words, ANSWER_WITHIN_MS, signal);
  if ('refused' in said) return { why: said.refused };
  const answers = listAt(said.document, 'targets').map(
    (one): [string, { ok: boolean; message: string }] => {
      const code = textAt(one, 'code') ?? '';
      return [
        textAt(one, 'target') ?? '',
        { ok: at(one, 'ok') === true, message: WORDS[code] ?? code },
      ];
    },
  );
  return { answers: new Map(answers) };
}
