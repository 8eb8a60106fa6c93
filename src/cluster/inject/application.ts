import { ALIASES, APPLICATION } from '../objects/names.ts';
import type { FieldIssue } from '../objects/names.ts';

type Annotations = Readonly<Record<string, string>>;

/** @returns the problem of the value; `undefined`: none */
type Check = (value: string) => string | undefined;

const LABEL_VALUE = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const WHOLE = /^-?\d{1,9}$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** Before the slash in `depends-on` is a kind, in any form that kubectl takes, or else a namespace. */
const KINDS =
  /^(?:sts|statefulsets?|deploy|deployments?|ds|daemonsets?|rs|replicasets?|po|pods?|svc|services?)$/i;
const STAGES = ['infrastructure', 'databases', 'messaging', 'applications'];
const FATES = ['rebuild', 'discard', 'keep'];
/** The names in `state` for data in no volume: in memory only, or in the container's own file system. */
const UNMOUNTED = ['(memory)', '(container)'];

const CHECKS: Readonly<Record<string, Check>> = {
  [APPLICATION.group]: (value) =>
    LABEL_VALUE.test(value)
      ? undefined
      : 'must be a label value: at most 63 letters, digits, dots, dashes and underscores',
  [APPLICATION.order]: (value) => (WHOLE.test(value) ? undefined : 'must be a whole number'),
  [APPLICATION.priority]: (value) =>
    WHOLE.test(value) || ['high', 'normal', 'low'].includes(value)
      ? undefined
      : 'must be high, normal, low or a whole number',
  [APPLICATION.dependsOn]: dependsOn,
  [APPLICATION.stage]: (value) =>
    STAGES.includes(value) ? undefined : `must be one of ${STAGES.join(', ')}`,
  [APPLICATION.state]: state,
  [APPLICATION.freeze]: freeze,
  [APPLICATION.verifySql]: () => undefined,
  [APPLICATION.verifyHttp]: () => undefined,
};

/** The problems of the application's annotations. An alias is read only if its name is absent. */
export function readApplication(annotations: Annotations): readonly FieldIssue[] {
  return Object.entries(CHECKS).flatMap(([name, check]) => {
    const { field, value } = applicationValue(annotations, name) ?? {
      field: name,
      value: undefined,
    };
    if (value === undefined) return [];
    const message = value === '' ? 'is empty; remove it instead' : check(value);
    return message === undefined ? [] : [{ field, message }];
  });
}

/** The trimmed value of an application annotation, under its own name or else its alias. */
export function applicationValue(
  annotations: Annotations,
  name: string,
): { readonly field: string; readonly value: string } | undefined {
  const alias = ALIASES[name];
  const field = alias !== undefined && annotations[name] === undefined ? alias : name;
  const value = annotations[field]?.trim();
  return value === undefined ? undefined : { field, value };
}

/** The annotations that differ between a workload and its pod template. The workload's values apply. */
export function differences(workload: Annotations, template: Annotations): readonly FieldIssue[] {
  return Object.values(APPLICATION).flatMap((name) => {
    const [own, below] = [applicationValue(workload, name), applicationValue(template, name)];
    if (
      own === undefined ||
      below === undefined ||
      withoutBlanks(own.value) === withoutBlanks(below.value)
    )
      return [];
    const alias = below.field === own.field ? '' : ` (${below.field})`;
    const message = `is ${quoted(own.value)} on the workload and ${quoted(below.value)} on its pod template${alias}: the workload's value applies`;
    return [{ field: own.field, message }];
  });
}

/** Drops the blanks around separators, which mean nothing. */
function withoutBlanks(value: string): string {
  return value.replaceAll(/\s*([,=])\s*/g, '$1');
}

/** Checks a list such as `db, cache, other-ns/queue, sts/db, svc/db`. */
function dependsOn(value: string): string | undefined {
  for (const one of value.split(',').map((part) => part.trim())) {
    const parts = one.split('/');
    const [place, name] = parts.length === 1 ? [undefined, one] : parts;
    const known = place === undefined || KINDS.test(place) || DNS_LABEL.test(place);
    if (parts.length <= 2 && known && OBJECT_NAME.test(name ?? '')) continue;
    return `must be names of members or Services, separated by commas, such as "db, other-ns/queue, svc/web": ${quoted(one)} is not a name`;
  }
  return undefined;
}

/** Checks `none`, for all volumes of a member, or a list such as `uploads=none, logs=none`. */
function freeze(value: string): string | undefined {
  if (value === 'none') return undefined;
  const wrong = value.split(',').find((one) => {
    const [volume = '', word, ...rest] = one.split('=').map((part) => part.trim());
    return !DNS_LABEL.test(volume) || word !== 'none' || rest.length > 0;
  });
  if (wrong === undefined) return undefined;
  return `must be none, or a list of VOLUME=none, separated by commas, or absent: ${quoted(wrong.trim())} is invalid`;
}

/** Checks a list such as `cache=rebuild, tmp=discard, uploads=keep`. */
function state(value: string): string | undefined {
  const fates = new Map<string, string>();
  for (const one of value.split(',').map((part) => part.trim())) {
    const [volume = '', fate = '', ...rest] = one.split('=').map((part) => part.trim());
    const isVolume = UNMOUNTED.includes(volume) || DNS_LABEL.test(volume);
    if (!isVolume || rest.length > 0 || !FATES.includes(fate)) {
      return `must be a list of VOLUME=WORD, separated by commas, where WORD is one of ${FATES.join(', ')}: ${quoted(one)} is invalid`;
    }
    const before = fates.get(volume) ?? fate;
    if (before !== fate) return `has both ${before} and ${fate} for ${volume}`;
    fates.set(volume, fate);
  }
  return undefined;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}
