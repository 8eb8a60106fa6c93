import { at, type KubeObject, namespaceOf } from '../../objects/kube-object.ts';
import type { RestoreProblem } from '../document.ts';
import { namedObject } from './copies.ts';

const SHOWN = 5;

/**
 * Objects of the copy that name a Service in the namespace of the original, as `db.shop` or
 * `db.shop.svc.cluster.local`: they would reach the original, and write into it. Pure.
 *
 * @param copies as they will be created
 * @param objects of the source
 */
export function oldNames(
  copies: readonly KubeObject[],
  objects: readonly KubeObject[],
  namespaces: ReadonlyMap<string, string>,
): readonly RestoreProblem[] {
  const moved = [...namespaces].filter(([from, to]) => from !== to).map(([from]) => from);
  if (moved.length === 0) return [];
  const hosts = objects
    .filter((one) => one.kind === 'Service' && moved.includes(namespaceOf(one)))
    .map((one) => `${one.metadata?.name ?? ''}.${namespaceOf(one)}`);
  const pattern = patternFor([...new Set(hosts)], moved);
  return copies.flatMap((copy): RestoreProblem[] => {
    const found = new Set(
      textsIn(copy).flatMap((text) => [...text.matchAll(pattern)].map(([one]) => one)),
    );
    if (found.size === 0) return [];
    const names = [...found].slice(0, SHOWN).join(', ');
    const more = found.size > SHOWN ? ` and ${found.size - SHOWN} more` : '';
    return [
      {
        code: 'NAMES_THE_ORIGINAL',
        message: `It names ${names}${more}: pods that use it reach the original, not the copy.`,
        hint: 'Use names without a namespace, or keep the copy from the original with a NetworkPolicy.',
        object: namedObject(copy),
      },
    ];
  });
}

/** Host names end at anything that cannot be in one; `db.shop` is not in `db.shopping`. */
function patternFor(hosts: readonly string[], namespaces: readonly string[]): RegExp {
  const quoted = hosts.map((one) => one.replaceAll('.', String.raw`\.`));
  const any = namespaces.map((one) => String.raw`(?:[a-z0-9-]+\.)+${one}\.svc`);
  const tail = String.raw`(?:\.svc(?:\.[a-z0-9-]+)*)?`;
  const known = quoted.map((one) => String.raw`(?:[a-z0-9-]+\.)*${one}${tail}`);
  return new RegExp(
    String.raw`(?<![a-z0-9.-])(?:${[...known, ...any].join('|')})(?![a-z0-9-])`,
    'g',
  );
}

/** Every text of the object, and those in its Secret's values. Of Secrets only the host is ever shown. */
function textsIn(object: KubeObject): readonly string[] {
  const { metadata: _, ...rest } = object;
  if (object.kind !== 'Secret') return deepTexts(rest);
  const data = Object.values((at(object, 'data') ?? {}) as Record<string, unknown>);
  const decoded = data.map((one) => Buffer.from(String(one), 'base64').toString('utf8'));
  return [...decoded, ...deepTexts(at(object, 'stringData'))];
}

function deepTexts(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(deepTexts);
}
