import { at, listAt, textAt } from '../objects/kube-object.ts';
import type { Pod } from '../objects/pod.ts';

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/**
 * The names under which the pod was known where it ran. In the copy they mean the copy itself: a member of a
 * MongoDB set that does not find itself in its configuration has left its set, and has no position to compare.
 */
export function ownNames(
  { metadata, spec }: Pod,
  order: { readonly name: string; readonly receipt?: Readonly<Record<string, unknown>> },
): readonly string[] {
  const host = textAt(spec, 'hostname') ?? order.name;
  const subdomain = textAt(spec, 'subdomain');
  const namespace = metadata?.namespace ?? '';
  const domain = subdomain === undefined ? undefined : `${host}.${subdomain}`;
  const known =
    domain === undefined || namespace === ''
      ? []
      : ['', `.${namespace}`, `.${namespace}.svc`, `.${namespace}.svc.cluster.local`].map(
          (tail) => `${domain}${tail}`,
        );
  const said = inSet(order.receipt).filter(
    (one, _, all) => all.length === 1 || one === host || one.startsWith(`${host}.`),
  );
  const names = new Set([host, ...known, ...said].filter((one) => NAME.test(one)));
  return [...names];
}

/** Hosts of the members, as the receipt of a MongoDB set has them. */
function inSet(receipt: unknown): readonly string[] {
  return listAt(at(receipt, 'restore', 'set'), 'members').flatMap((one) => {
    const host = textAt(one, 'host')?.replace(/:\d+$/, '');
    return host === undefined ? [] : [host.toLowerCase()];
  });
}
