import type { DrillRun, RestoreRun } from '../../restore/document.ts';

/** A staged restore into scratch namespaces, told as a drill: in the words of the source. Pure. */
export function asDrill(
  run: RestoreRun,
  end: { readonly removed?: boolean | undefined },
): DrillRun {
  const back = new Map(Object.entries(run.source.namespaces).map(([from, to]) => [to, from]));
  const home = <T extends { readonly namespace: string }>(one: T): T => ({
    ...one,
    namespace: back.get(one.namespace) ?? one.namespace,
  });
  return {
    ...run,
    kind: 'DrillRun',
    mode: 'application',
    layers: run.layers.map((layer) => ({ ...layer, members: layer.members.map(home) })),
    members: run.members.map(home),
    scratch: Object.values(run.source.namespaces),
    ...(end.removed !== undefined && { removed: end.removed }),
  };
}
