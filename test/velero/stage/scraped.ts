/** The sum of the series of a metric that have these labels, in a Prometheus exposition; `undefined`: none has. */
export function valueOf(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>>,
): number | undefined {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const found = text.split('\n').flatMap((line) => {
    const [, own, labelled = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    const matches = own === name && wanted.every((one) => labelled.split(',').includes(one));
    return matches ? [Number(value)] : [];
  });
  return found.length === 0 ? undefined : found.reduce((sum, one) => sum + one, 0);
}
