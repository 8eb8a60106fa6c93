import { isIP } from 'node:net';
import type { Settings } from './sources.ts';

/** A form of name that Kubernetes makes of a Service, and the value that goes with it. */
interface Form {
  readonly name: RegExp;
  fits(value: string, parts: readonly string[]): boolean;
}

const PROTOCOLS = 'TCP|UDP|SCTP';

/**
 * The variables that the kubelet puts into every container for each Service of the namespace that has
 * an IP (Kubernetes, pkg/kubelet/envvars, FromServices). A name fits more than one form where a Service
 * is called `a-port-80-tcp`: the value decides.
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

/** Begins the names of a Service's ports; a port's own name may follow, and end in anything. */
const SERVICE_PORT = '_SERVICE_PORT';

/**
 * Whether this is a link to a Service: not a setting of anybody's, and not somebody's typing error. Name
 * and value must both fit, so that a setting in the pod's own environment, which takes the place of a
 * link of its name, is never taken for one.
 */
export function isServiceLink(name: string, env: Settings): boolean {
  const value = env[name] ?? '';
  const fits = FORMS.some((form) => {
    const match = form.name.exec(name);
    return match !== null && form.fits(value, match.slice(1));
  });
  return fits || isServicePort(name, value, env);
}

/** `X_SERVICE_PORT` and `X_SERVICE_PORT_NAME` hold a bare number: only the host beside it tells a link. */
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
