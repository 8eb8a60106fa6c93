import { QuiesceError } from '../../errors.ts';
import { type KubeObject, listAt, textAt } from '../objects/kube-object.ts';

/**
 * Refuses manifests whose names are not text: everything else is found by its name. An API server refuses
 * them, too.
 *
 * @throws QuiesceError MANIFEST_INVALID
 */
export function checkNames(objects: readonly KubeObject[]): void {
  for (const object of objects) {
    const metadata = (object.metadata ?? {}) as Readonly<Record<string, unknown>>;
    for (const field of ['name', 'generateName', 'namespace']) {
      const value = metadata[field] ?? undefined;
      if (value === undefined || typeof value === 'string') continue;
      throw refused(object, `a metadata.${field} that is no text: ${shown(value)}`);
    }
  }
}

/** @throws QuiesceError MANIFEST_INVALID if what would be a member has no name */
export function checkNamed(object: KubeObject): void {
  const { name, generateName } = object.metadata ?? {};
  if ((name ?? generateName ?? '') === '') throw refused(object, 'no metadata.name');
}

function refused(object: KubeObject, what: string): QuiesceError {
  const name = textAt(object, 'metadata', 'name');
  const namespace = textAt(object, 'metadata', 'namespace');
  const [container] = listAt(object, 'spec', 'template', 'spec', 'containers');
  const image = textAt(container, 'image');
  const kind = `${object.kind ?? 'object'}${name === undefined ? '' : `/${name}`}`;
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  const which = image === undefined ? '' : ` (image ${image})`;
  return new QuiesceError('MANIFEST_INVALID', `A manifest has ${what}: ${kind}${where}${which}.`, {
    hint: 'Give it a name. Put numbers in quotes.',
  });
}

function shown(value: unknown): string {
  return JSON.stringify(value).slice(0, 60);
}
