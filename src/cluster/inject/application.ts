import { ALIASES, APPLICATION } from '../objects/names.ts';
import type { FieldIssue } from '../objects/names.ts';

type Annotations = Readonly<Record<string, string>>;

/** @returns what is wrong with the value; `undefined`: nothing */
type Check = (value: string) => string | undefined;

const LABEL_VALUE = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const WHOLE = /^-?\d{1,9}$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** Before the slash of `depends-on`: a kind, as kubectl takes it, or else a namespace. */
const KINDS =
  /^(?:sts|statefulsets?|deploy|deployments?|ds|daemonsets?|rs|replicasets?|po|pods?|svc|services?)$/i;
const STAGES = ['infrastructure', 'databases', 'messaging', 'applications'];
const FATES = ['rebuild', 'discard', 'keep'];
/** What an engine holds in memory only is declared under this name. */
const MEMORY = '(memory)';

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
  [APPLICATION.freeze]: (value) => (value === 'none' ? undefined : 'must be none, or left out'),
  [APPLICATION.verifySql]: () => undefined,
  [APPLICATION.verifyHttp]: () => undefined,
};

/** What is wrong with the annotations of an application; where a name is there its alias is not read. */
export function readApplication(annotations: Annotations): readonly FieldIssue[] {
  return Object.entries(CHECKS).flatMap(([name, check]) => {
    const { field, value } = applicationValue(annotations, name) ?? {
      field: name,
      value: undefined,
    };
    if (value === undefined) return [];
    const message = value === '' ? 'is empty; leave it out instead' : check(value);
    return message === undefined ? [] : [{ field, message }];
  });
}

/** The value of one of them without blanks around it, under its own name or else its alias. */
export function applicationValue(
  annotations: Annotations,
  name: string,
): { readonly field: string; readonly value: string } | undefined {
  const alias = ALIASES[name];
  const field = alias !== undefined && annotations[name] === undefined ? alias : name;
  const value = annotations[field]?.trim();
  return value === undefined ? undefined : { field, value };
}

/** What a workload and its template say differently: the workload's counts. */
export function differences(workload: Annotations, template: Annotations): readonly FieldIssue[] {
  return Object.values(APPLICATION).flatMap((name) => {
    const [own, below] = [applicationValue(workload, name), applicationValue(template, name)];
    if (own === undefined || below === undefined || tight(own.value) === tight(below.value))
      return [];
    const there = below.field === own.field ? '' : ` (${below.field})`;
    const message = `is ${shown(own.value)} on the workload and ${shown(below.value)} on its pod template${there}: the workload's counts`;
    return [{ field: own.field, message }];
  });
}

/** Blanks in a list say nothing. */
function tight(value: string): string {
  return value.replaceAll(/\s*([,=])\s*/g, '$1');
}

/** `db, cache, other-ns/queue, sts/db, svc/db`. */
function dependsOn(value: string): string | undefined {
  for (const one of value.split(',').map((part) => part.trim())) {
    const parts = one.split('/');
    const [place, name] = parts.length === 1 ? [undefined, one] : parts;
    const known = place === undefined || KINDS.test(place) || DNS_LABEL.test(place);
    if (parts.length <= 2 && known && OBJECT_NAME.test(name ?? '')) continue;
    return `must be names of members or Services, separated by commas, such as "db, other-ns/queue, svc/web": ${shown(one)} is none`;
  }
  return undefined;
}

/** `cache=rebuild, tmp=discard, uploads=keep`. */
function state(value: string): string | undefined {
  const said = new Map<string, string>();
  for (const one of value.split(',').map((part) => part.trim())) {
    const [volume = '', fate = '', ...rest] = one.split('=').map((part) => part.trim());
    const named = volume === MEMORY || DNS_LABEL.test(volume);
    if (!named || rest.length > 0 || !FATES.includes(fate)) {
      return `must be VOLUME=WORD, separated by commas, with a word of ${FATES.join(', ')}: ${shown(one)} is none`;
    }
    const before = said.get(volume) ?? fate;
    if (before !== fate) return `says both ${before} and ${fate} of ${volume}`;
    said.set(volume, fate);
  }
  return undefined;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}
