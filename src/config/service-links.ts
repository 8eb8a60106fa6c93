import { isIP } from 'node:net';
import type { Settings } from './sources.ts';

/** A form of variable name that Kubernetes makes from a Service, and the values that go with it. */
interface Form {
  readonly name: RegExp;
  fits(value: string, parts: readonly string[]): boolean;
}

const PROTOCOLS = 'TCP|UDP|SCTP';

/**
 * The variables that the kubelet sets in every container, for each Service of the namespace that has an
 * IP (Kubernetes, pkg/kubelet/envvars, FromServices). The name of a Service such as `a-port-80-tcp` makes
 * a variable match more than one form; the value then decides.
 */
const FORMS: readonly Form[] = [
  { name: /^.+_SERVICE_HOST$/, fits: (value) => isIP(value) !== 0 },
  {
    name: /^.+_PORT$/,
    fits: (value) => isAddress(value, undefined, undefined),
  },
  {
    name: new RegExp(`^.+_PORT_(\\d+)_(${PROTOCOLS})$`),
    fits: (value, [port, protocol]) => isAddress(value, port, protocol),
  },
  {
    name: new RegExp(`^.+_PORT_\\d+_(${PROTOCOLS})_PROTO$`),
    fits: (value, [protocol]) => value === protocol?.toLowerCase(),
  },
  {
    name: new RegExp(`^.+_PORT_(\\d+)_(?:${PROTOCOLS})_PORT$`),
    fits: (value, [port]) => value === port,
  },
  {
    name: new RegExp(`^.+_PORT_\\d+_(?:${PROTOCOLS})_ADDR$`),
    fits: (value) => isIP(value) !== 0,
  },
];

/** Precedes the port in a variable's name. A port's own name may follow it, with any ending. */
const SERVICE_PORT = '_SERVICE_PORT';

/**
 * Whether this variable is a link to a Service, rather than a setting or a misspelt one. Name and value
 * must both match: a setting in the pod's own environment overrides a link of the same name, and must
 * never be mistaken for one.
 */
export function isServiceLink(name: string, env: Settings): boolean {
  const value = env[name] ?? '';
  const fits = FORMS.some((form) => {
    const match = form.name.exec(name);
    return match !== null && form.fits(value, match.slice(1));
  });
  return fits || isServicePort(name, value, env);
}

/** `X_SERVICE_PORT…` holds a bare number: only the presence of `X_SERVICE_HOST` shows that it is a link. */
function isServicePort(name: string, value: string, env: Settings): boolean {
  if (!isPort(value)) return false;
  for (let at = name.indexOf(SERVICE_PORT); at > 0; at = name.indexOf(SERVICE_PORT, at + 1)) {
    const rest = name.slice(at + SERVICE_PORT.length);
    const host = env[`${name.slice(0, at)}_SERVICE_HOST`];
    if ((rest === '' || /^_[A-Z0-9_]+$/.test(rest)) && host !== undefined) return true;
  }
  return false;
}

/** `tcp://10.96.0.7:443`, `udp://[fd00::7]:53`. */
function isAddress(value: string, port: string | undefined, protocol: string | undefined): boolean {
  const [, scheme, v6, v4, number] =
    /^(tcp|udp|sctp):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(value) ?? [];
  if (scheme === undefined || isIP(v6 ?? v4 ?? '') === 0) return false;
  const same = protocol === undefined || scheme === protocol.toLowerCase();
  return same && (port === undefined || number === port);
}

function isPort(value: string): boolean {
  return /^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65_535;
}
