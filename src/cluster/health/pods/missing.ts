import type { Cause } from '../state.ts';
import type { PodContext } from './context.ts';

const BRING: Readonly<Record<string, string>> = {
  SECRET_MISSING:
    'Create the Secret, or restore it; what makes it may be down, such as an operator or a secret store.',
  SECRET_KEY_MISSING: 'Give the Secret that key: it may have been changed since the backup.',
  CONFIG_MAP_MISSING: 'Create the ConfigMap, or restore it.',
  CONFIG_MAP_KEY_MISSING: 'Give the ConfigMap that key.',
};

/** The Secret, ConfigMap or key that a message of the kubelet says is missing. */
export function missingIn(message: string, context: PodContext): Cause | undefined {
  const found = namedIn(message);
  if (found === undefined) return undefined;
  const [code, text] = found;
  return context.cause(code, text, context.fresh, BRING[code]);
}

function namedIn(message: string): readonly [code: string, text: string] | undefined {
  const object = /(secret|configmap) "([^"]+)" not found/i.exec(message);
  if (object !== null) {
    const [, kind = '', name = ''] = object;
    const plain = name.split('/').at(-1) ?? name;
    return isSecret(kind)
      ? ['SECRET_MISSING', `There is no Secret ${plain}, which the pod needs`]
      : ['CONFIG_MAP_MISSING', `There is no ConfigMap ${plain}, which the pod needs`];
  }
  const key = /couldn't find key (\S+) in (Secret|ConfigMap) (\S+)/i.exec(message);
  if (key !== null) {
    const [, name = '', kind = '', place = ''] = key;
    return missingKey(kind, place.split('/').at(-1) ?? place, name);
  }
  const reference = /references non-existent (secret|config) key: (\S+)/i.exec(message);
  if (reference === null) return undefined;
  const [, kind = '', name = ''] = reference;
  const volume = /for volume "([^"]+)"/.exec(message)?.[1];
  const of = volume === undefined ? 'a volume' : `its volume ${volume}`;
  const text = (what: string): string => `The ${what} of ${of} has no key ${name}`;
  return isSecret(kind)
    ? ['SECRET_KEY_MISSING', text('Secret')]
    : ['CONFIG_MAP_KEY_MISSING', text('ConfigMap')];
}

function missingKey(kind: string, name: string, key: string): readonly [string, string] {
  const text = `The ${isSecret(kind) ? 'Secret' : 'ConfigMap'} ${name} has no key ${key}`;
  return [isSecret(kind) ? 'SECRET_KEY_MISSING' : 'CONFIG_MAP_KEY_MISSING', text];
}

function isSecret(kind: string): boolean {
  return kind.toLowerCase() === 'secret';
}
