import { abortedWithin } from '../../lib/deadline.ts';
import { redactLine } from '../../lib/redact.ts';
import type { PodConnection } from '../api/reader.ts';
import { each } from '../api/objects.ts';
import { applicationValue } from '../inject/application.ts';
import type { Catalog } from '../inventory/catalog.ts';
import { at, type KubeObject, listAt, namespaceOf, textAt } from '../objects/kube-object.ts';
import { sidecarContainer } from '../inventory/sidecar-container.ts';
import { locate } from '../health/locate.ts';
import { isReady } from '../health/pods/judge-pod.ts';
import { APPLICATION } from '../objects/names.ts';
import type { PlannedMember } from '../plan/planned.ts';
import type { Check } from './document.ts';
import { runInside } from './inside.ts';

const SQL_WITHIN_MS = 10_000;
const HTTP_WITHIN_MS = 10_000;
const SPARE_MS = 10_000;
/** Of one member. The pods of one are alike. */
const PODS_AT_MOST = 5;

type Pods = Pick<PodConnection, 'exec' | 'call'>;

/** Runs the checks that users have put on their workloads. */
export async function checkOwn(
  connection: Pods,
  members: readonly PlannedMember[],
  catalog: Catalog,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const all = members.flatMap((member) => {
    const ready = locate(catalog, [member])
      .flatMap((one) => one.pods)
      .filter(isReady);
    const pods = ready.slice(0, PODS_AT_MOST);
    const value = (name: string): string | undefined =>
      applicationValue(member.annotations, name)?.value;
    const { namespace, kind, name } = member;
    const ref = { namespace, kind, name };
    const sql = value(APPLICATION.verifySql);
    const http = value(APPLICATION.verifyHttp);
    const of = (what: string | undefined, kindOf: 'sql' | 'http') => {
      if (what === undefined || what === '') return [];
      if (pods.length > 0) return pods.map((pod) => ({ member: ref, what, kind: kindOf, pod }));
      return [{ member: ref, what, kind: kindOf, pod: undefined }];
    };
    return [...of(sql, 'sql'), ...of(http, 'http')];
  });
  return await each(
    all,
    async ({ member, what, kind, pod }): Promise<Check> => {
      const base = { member, kind, what, pod: pod?.metadata?.name ?? '' };
      if (pod === undefined) return { ...base, message: 'none of its pods is ready' };
      const found =
        kind === 'sql'
          ? await bySql(connection, pod, what, signal)
          : await byHttp(connection, pod, what, signal);
      return { ...base, ...found };
    },
    10,
  );
}

type Found = Pick<Check, 'ok' | 'message'>;

/** `select …`, or `DATABASE: select …`. */
async function bySql(
  connection: Pods,
  pod: KubeObject,
  what: string,
  signal: AbortSignal,
): Promise<Found> {
  if (sidecarContainer(pod) === undefined) return { message: 'it has no sidecar to ask' };
  const [, database, statement = what] = /^([A-Za-z_][\w-]*):\s+([\s\S]+)$/.exec(what) ?? [];
  const words = [
    'ask',
    ...(database === undefined ? [] : ['--database', database]),
    '--timeout',
    `${SQL_WITHIN_MS}ms`,
    '--statement',
    statement,
  ];
  const said = await runInside(connection, pod, words, SQL_WITHIN_MS + SPARE_MS, signal);
  if ('refused' in said) {
    const message = redactLine(said.refused);
    // What the database itself refuses is an answer; that it was not asked is none.
    const answered = said.code?.startsWith('ENGINE_FAILED') === true;
    return answered ? { ok: false, message } : { message };
  }
  const ok = at(said.document, 'ok') === true;
  const value = textAt(said.document, 'found');
  const text =
    value === undefined ? 'the statement gives no row' : `the answer is ${redactLine(value)}`;
  return { ok, message: text };
}

/** `8080/healthz`, `http/healthz` with the name of a port, `/healthz`, or `http://127.0.0.1:8080/healthz`. */
export function placeIn(
  what: string,
  pod: KubeObject,
): { readonly port: number; readonly path: string } | { readonly why: string } {
  const url = /^(https?):\/\/[^/:]*(?::(\d+))?(\/.*)?$/i.exec(what);
  if (url !== null) {
    if (url[1]?.toLowerCase() === 'https') return { why: 'only plain HTTP can be asked' };
    return { port: Number(url[2] ?? 80), path: url[3] ?? '/' };
  }
  const ports = listAt(pod, 'spec', 'containers').flatMap((one) =>
    textAt(one, 'name') === sidecarContainer(pod)?.container ? [] : listAt(one, 'ports'),
  );
  const [, name = '', path = '/'] = /^:?([A-Za-z0-9-]*)(\/.*)?$/.exec(what) ?? [];
  if (/^\d+$/.test(name)) return { port: Number(name), path };
  const found = name === '' ? ports : ports.filter((one) => textAt(one, 'name') === name);
  const number = at(found[0], 'containerPort');
  if (found.length > 0 && typeof number === 'number') return { port: number, path };
  const why =
    name === '' ? 'its containers name no port' : `no container has a port called ${name}`;
  return { why: `${why}: write PORT/PATH` };
}

async function byHttp(
  connection: Pods,
  pod: KubeObject,
  what: string,
  signal: AbortSignal,
): Promise<Found> {
  const place = placeIn(what, pod);
  if ('why' in place) return { message: place.why };
  const limit = abortedWithin(HTTP_WITHIN_MS, signal);
  const where = { namespace: namespaceOf(pod), pod: pod.metadata?.name ?? '', port: place.port };
  try {
    const { status } = await connection.call(where, { method: 'GET', path: place.path }, limit);
    const ok = status >= 200 && status < 300;
    return { ok, message: `GET ${place.path} on port ${place.port} answers ${status}` };
  } catch (error) {
    signal.throwIfAborted();
    const { message, name } = error as Error & { readonly status?: number };
    const { status } = error as { readonly status?: number };
    // The API server refused, so nobody asked the pod.
    if (status !== undefined) return { message: redactLine(message) };
    const text = limit.aborted
      ? `no answer within ${HTTP_WITHIN_MS / 1_000} s`
      : redactLine(message || name);
    return { ok: false, message: `port ${place.port}: ${text}` };
  }
}
