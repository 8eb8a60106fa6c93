import { ENGINES, type EngineName } from './names.ts';

/** A container of a pod, as far as it says what runs in it; Kubernetes' own names. */
export interface PodContainer {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly PodEnvVar[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}

export interface PodEnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: Readonly<Record<string, unknown>>;
}

/** The environment of the database's container, from which a profile takes entries over. */
export interface PodEnvironment {
  /** Whether the pod's spec itself sets it, to something. */
  has(name: string): boolean;
  /** The first that the spec has in plain text. */
  plain(...names: readonly string[]): string | undefined;
  /** Its text as it is written, references to others included. */
  written(name: string): string;
  /** Whether there are names that only the cluster knows. */
  readonly hasUnknown: boolean;
  /** `target` with the value of the first of `names` that is set, itself or as a file. */
  take(target: string, ...names: readonly string[]): PodEnvVar | undefined;
  /** `target` as a reference to `name`, which only the cluster knows. */
  refer(target: string, name: string): PodEnvVar;
}

/** A user id, and the group that goes with it. */
export interface ImageUser {
  readonly uid: number;
  readonly gid?: number;
}

/**
 * What an engine knows of its images: how they are told from others, and what they expect. Loaded by
 * whatever looks at pods, so a profile imports no driver and nothing else of its engine.
 */
export interface EngineProfile {
  readonly name: EngineName;
  /** The last part of the image's repository. */
  readonly image: RegExp;
  /** Tells a container of that image that is no database with data, such as a router. */
  readonly other?: (container: PodContainer) => boolean;
  /** The user the image's server runs as where the pod names none, by the whole reference. */
  user(image: string): ImageUser | undefined;
  /** Where the data lies by the container's own words: flags, then environment. */
  data(container: PodContainer, env: PodEnvironment): string | undefined;
  /** Where the images keep data, most specific first. */
  readonly places: readonly string[];
  /** How the sidecar reaches the server in the same pod, by the database's own credentials. */
  connection(input: ConnectionInput): readonly PodEnvVar[];
  /** The same with a Secret's: only what is no credential. */
  address(input: ConnectionInput): readonly PodEnvVar[];
}

export interface ConnectionInput {
  readonly container: PodContainer;
  readonly env: PodEnvironment;
  /** A folder of the database's file system that the sidecar sees as well. */
  shared(path: string): boolean;
}

/** The value of `--name=value` or `--name value` in a container's command, args, or a text of flags. */
export function flag(container: PodContainer, name: string, more = ''): string | undefined {
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
  engine: EngineName,
  given = flag(container, 'port'),
): string {
  const told = [env.plain(...names), given].find((one) => /^[1-9]\d*$/.test(one ?? ''));
  if (told !== undefined) return told;
  const { port: standard, portName } = ENGINES[engine];
  const ports = container.ports ?? [];
  if (ports.some((port) => port.containerPort === standard)) return String(standard);
  const named = new RegExp(`^(?:tcp-)?(?:${portName})$`);
  const likely = ports.find(({ name }) => named.test(name ?? ''));
  return String(likely?.containerPort ?? standard);
}

/** The sidecar takes it where nothing else, such as a Secret, says `name`. */
export function asDefault({ name, value }: PodEnvVar): PodEnvVar {
  return { name: `${name}_DEFAULT`, ...(value === undefined ? {} : { value }) };
}

/** Drops what is not there. */
export function present(...entries: readonly (PodEnvVar | undefined)[]): readonly PodEnvVar[] {
  return entries.filter((entry) => entry !== undefined);
}
