import { at, listAt, textAt, textsAt } from '../objects/kube-object.ts';

type Labels = Readonly<Record<string, string>>;

/** Whether a LabelSelector matches these labels. An absent or empty one matches all. */
export function selects(selector: unknown, labels: Labels): boolean {
  const exact = Object.entries((at(selector, 'matchLabels') ?? {}) as Labels);
  if (exact.some(([key, value]) => labels[key] !== value)) return false;
  return listAt(selector, 'matchExpressions').every((one) => {
    const key = textAt(one, 'key') ?? '';
    const values = textsAt(one, 'values');
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (textAt(one, 'operator') ?? '') {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return true;
    }
  });
}

/** The label keys that a selector tests. */
export function keysOfSelector(selector: unknown): readonly string[] {
  return [
    ...Object.keys(at(selector, 'matchLabels') ?? {}),
    ...listAt(selector, 'matchExpressions').flatMap((one) => textAt(one, 'key') ?? []),
  ];
}

/** Whether a name in one of Velero's lists matches. `*` in a name stands for any text. */
export function listed(names: readonly string[], name: string): boolean {
  return names.some((one) => {
    const pattern = one.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${pattern.join('.*')}$`).test(name);
  });
}
