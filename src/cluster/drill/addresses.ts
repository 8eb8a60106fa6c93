import type { Catalog } from '../inventory/catalog.ts';
import { listAt, namespaceOf, textAt } from '../objects/kube-object.ts';

const MOST = 20;

/** Addresses of the pods that run in these namespaces now, of different pods first. They listen there. */
export function addressesOf(catalog: Catalog, namespaces: readonly string[]): readonly string[] {
  const pods = catalog.all('Pod').filter((one) => namespaces.includes(namespaceOf(one)));
  const each = pods.map((pod) => {
    const ip = textAt(pod, 'status', 'podIP');
    if (ip === undefined || textAt(pod, 'status', 'phase') !== 'Running') return [];
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const ports = listAt(pod, 'spec', 'containers').flatMap((one) =>
      listAt(one, 'ports').flatMap((port) => portOf(port)),
    );
    return ports.map((port) => `${host}:${port}`);
  });
  const longest = Math.max(0, ...each.map((all) => all.length));
  const inTurn = Array.from({ length: longest }, (_, index) =>
    each.flatMap((all) => all[index] ?? []),
  );
  return [...new Set(inTurn.flat())].slice(0, MOST);
}

function portOf(port: unknown): readonly number[] {
  const number = (port as { readonly containerPort?: unknown } | null)?.containerPort;
  const protocol = textAt(port, 'protocol') ?? 'TCP';
  return typeof number === 'number' && protocol === 'TCP' ? [number] : [];
}
