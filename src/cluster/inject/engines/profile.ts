import type { CopyMethod } from '../../../receipt/receipt.ts';
import type { Environment } from '../environment.ts';
import type { Container, EnvVar } from '../../objects/pod.ts';

export type EngineName = 'postgres' | 'redis' | 'mongodb';

/** A user id, and the group that goes with it. */
export interface ImageUser {
  readonly uid: number;
  readonly gid?: number;
}

/** What injection knows of one engine: how its images are told, and what they expect. */
export interface EngineProfile {
  readonly name: EngineName;
  /** The last part of the image's repository. */
  readonly image: RegExp;
  readonly port: number;
  /** The copy methods for which the engine can promise something. */
  readonly copies: readonly CopyMethod[];
  /** Tells a container of that image that is no database with data, such as a router. */
  readonly other?: (container: Container) => boolean;
  /** The user the image's server runs as where the pod names none, by the whole reference. */
  user(image: string): ImageUser | undefined;
  /** Where the data lies by the container's own words: flags, then environment. */
  data(container: Container, env: Environment): string | undefined;
  /** Where the images keep data, most specific first. */
  readonly places: readonly string[];
  /** How the sidecar reaches the server in the same pod, by the database's own credentials. */
  connection(input: ConnectionInput): readonly EnvVar[];
  /** The same with a Secret's: only what is no credential. */
  address(input: ConnectionInput): readonly EnvVar[];
  /** The sidecar's names for a Secret's `username` and `password`. */
  readonly login: { readonly username: string; readonly password: string };
}

export interface ConnectionInput {
  readonly container: Container;
  readonly env: Environment;
  /** A folder of the database's file system that the sidecar sees as well. */
  shared(path: string): boolean;
}

/** The value of `--name=value` or `--name value` in a container's command, args, or a text of flags. */
export function flag(container: Container, name: string, more = ''): string | undefined {
  const words = [...(container.command ?? []), ...(container.args ?? []), more];
  const text = words.join('\n');
  // Of two words the second is the value, were it empty: what comes after is the next flag.
  const match = new RegExp(`(?:^|\\s|["'])--${name}(?:=|[^\\S\\n]+|\\n)["']?([^\\s"']+)`).exec(
    text,
  );
  return match?.[1];
}

/** `registry:5000/team/postgres:16@sha256:…` → `postgres:16`: registries and teams say nothing. */
export function lastPart(image: string): string {
  return image.replace(/@.*$/, '').split('/').at(-1) ?? '';
}

/** The port by environment, flag (`given`, or `--port`), and then what the container declares. */
export function portOf(
  { container, env }: ConnectionInput,
  names: readonly string[],
  standard: number,
  given = flag(container, 'port'),
): string {
  const told = [env.plain(...names), given].find((one) => /^[1-9]\d*$/.test(one ?? ''));
  if (told !== undefined) return told;
  const ports = container.ports ?? [];
  if (ports.some((port) => port.containerPort === standard)) return String(standard);
  const likely = ports.find((port) =>
    /^(?:tcp-)?(?:postgres(?:ql)?|redis|valkey|mongo(?:db|d)?)$/.test(port.name ?? ''),
  );
  return String(likely?.containerPort ?? standard);
}

/** The sidecar takes it where nothing else, such as a Secret, says `name`. */
export function asDefault({ name, value }: EnvVar): EnvVar {
  return { name: `${name}_DEFAULT`, ...(value === undefined ? {} : { value }) };
}

/** Drops what is not there. */
export function present(...entries: readonly (EnvVar | undefined)[]): readonly EnvVar[] {
  return entries.filter((entry) => entry !== undefined);
}
