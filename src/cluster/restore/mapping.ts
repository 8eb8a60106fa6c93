/** One value of `--to`: a namespace for the only one of the source, or `OLD:NEW`. */
export interface To {
  readonly from: string | undefined;
  readonly to: string;
}

const NAMESPACE = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?';
const TO = new RegExp(`^(?:(${NAMESPACE}):)?(${NAMESPACE})$`);

export function readTo(text: string): To | undefined {
  const [, from, to] = TO.exec(text) ?? [];
  return to === undefined ? undefined : { from, to };
}

/**
 * Namespaces of the source → namespaces of the target.
 *
 * @returns the reason, if these values do not say it
 */
export function mappingOf(
  namespaces: readonly string[],
  wanted: readonly To[],
): ReadonlyMap<string, string> | string {
  const mapping = new Map(namespaces.map((one) => [one, one]));
  for (const { from, to } of wanted) {
    const [only] = namespaces;
    const source = from ?? (namespaces.length === 1 ? only : undefined);
    if (source === undefined) {
      return `the source has the namespaces ${namespaces.join(', ')}: write OLD:NEW for each`;
    }
    if (!mapping.has(source)) return `the source has no namespace ${source}`;
    mapping.set(source, to);
  }
  const targets = [...mapping.values()];
  const twice = targets.find((one, index) => targets.indexOf(one) !== index);
  if (twice !== undefined) return `two namespaces would become ${twice}`;
  return mapping;
}
