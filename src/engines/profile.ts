import { ENGINES, type EngineName } from './names.ts';

/** The fields of a pod's container that show what runs in it, with Kubernetes' own names. */
export interface PodContainer {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly PodEnvVar[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly mountPath: string }[];
}

export interface PodEnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: Readonly<Record<string, unknown>>;
}

/** The environment of the database's container, from which a profile copies entries. */
export interface PodEnvironment {
  /** Whether the pod's spec itself sets it to a non-empty value. */
  has(name: string): boolean;
  /** The value of the first of these that the spec sets in plain text. */
  plain(...names: readonly string[]): string | undefined;
  /** Its text as written in the spec, including references to other variables. */
  written(name: string): string;
  /** Whether some names are known only to the cluster, as with `envFrom`. */
  readonly hasUnknown: boolean;
  /** `target` with the value of the first of `names` that is set, directly or as a file. */
  take(target: string, ...names: readonly string[]): PodEnvVar | undefined;
  /** `target` as a reference to `name`, which is known only to the cluster. */
  refer(target: string, name: string): PodEnvVar;
}

/** A user id, and its group id. */
export interface ImageUser {
  readonly uid: number;
  readonly gid?: number;
}

/**
 * How to recognize an engine's images, and what they expect. Code that inspects pods loads all profiles,
 * so a profile imports no driver and nothing else of its engine.
 */
export interface EngineProfile {
  readonly name: EngineName;
  /** The last part of the image's repository. */
  readonly image: RegExp;
  /** The server's programs, as a regular expression: `redis-server|valkey-server`. */
  readonly program: string;
  /** Names of variables that only the engine's images know. */
  readonly imageSettings: RegExp;
  /** Whether a container of such an image is not a database with data, but e.g. a router. */
  readonly other?: (container: PodContainer) => boolean;
  /** The user of the image's server if the pod sets none. Takes the whole image reference. */
  user(image: string): ImageUser | undefined;
  /** The data directory that the container configures: by flags, then by environment. */
  data(container: PodContainer, env: PodEnvironment): string | undefined;
  /**
   * Where a server of this image keeps its data if nothing says otherwise; `undefined`: not known, as for an
   * image that only resembles a well-known one, or a server with a configuration file.
   */
  home(container: PodContainer): string | undefined;
  /** Folders where the images keep data, most specific first. */
  readonly places: readonly string[];
  /** Those of them that no other software uses. */
  readonly ownPlaces: RegExp;
  /** What shows that the server asks for a password, as part of a sentence; `undefined`: nothing does. */
  asksLogin(container: PodContainer): string | undefined;
  /** What shows that the server keeps nothing on disk, as part of a sentence: each freeze would fail. */
  savesNothing?(container: PodContainer, env: PodEnvironment): string | undefined;
  /** Its servers are often caches, which people leave without a volume on purpose. */
  readonly oftenCache?: true;
  /** How the sidecar reaches the server in the same pod, with the database's own credentials. */
  connection(input: ConnectionInput): readonly PodEnvVar[];
  /** The same for credentials from a Secret: everything except the credentials. */
  address(input: ConnectionInput): readonly PodEnvVar[];
  /**
   * The container of a copy that a drill starts: with flags that keep the server from others, where its
   * command line can be added to. Absent: it stays as it is.
   */
  readonly alone?: <C extends PodContainer>(container: C) => C;
}

export interface ConnectionInput {
  readonly container: PodContainer;
  readonly env: PodEnvironment;
  /** Whether the sidecar mounts the folder at this path of the database's file system. */
  shared(path: string): boolean;
}

/** The value of `--name=value` or `--name value` in a container's command, its args, or in `more`. */
export function flag(container: PodContainer, name: string, more = ''): string | undefined {
  const words = [...(container.command ?? []), ...(container.args ?? []), more];
  const text = words.join('\n');
  // In `--name value` the second word is the value even if it is empty: the third is the next flag.
  const match = new RegExp(`(?:^|\\s|["'])--${name}(?:=|[^\\S\\n]+|\\n)["']?([^\\s"']+)`).exec(
    text,
  );
  return match?.[1];
}

/** Whether an image is one of these of Docker Hub, also through a mirror that keeps its path. */
export function isFrom(image: string, repositories: RegExp): boolean {
  const path = image.replace(/@.*$/, '').replace(/:[^/]*$/, '');
  const parts = path.split('/');
  const isHost = parts.length > 1 && /[.:]|^localhost$/.test(parts[0] ?? '');
  const [first = '', second] = isHost ? parts.slice(1).slice(-2) : parts.slice(-2);
  const official = second === undefined ? `library/${first}` : `${first}/${second}`;
  return repositories.test(official);
}

/** Whether nothing but the image's own start script or this server is run, with any flags. */
export function runsServer({ command = [], args = [] }: PodContainer, program: string): boolean {
  const [first] = command.length > 0 ? command : args;
  if (first === undefined || first.startsWith('-')) return true;
  return new RegExp(`^(?:\\S*/)?(?:docker-entrypoint\\S*|${program})$`).test(first);
}

/** `registry:5000/team/postgres:16@sha256:…` → `postgres:16`. */
export function lastPart(image: string): string {
  return image.replace(/@.*$/, '').split('/').at(-1) ?? '';
}

/** The port from the environment, a flag (`given`, or `--port`), or the container's declared ports. */
export function portOf(
  { container, env }: ConnectionInput,
  names: readonly string[],
  engine: EngineName,
  given = flag(container, 'port'),
): string {
  const configured = [env.plain(...names), given].find((one) => /^[1-9]\d*$/.test(one ?? ''));
  if (configured !== undefined) return configured;
  const { port: standard, portName } = ENGINES[engine];
  const ports = container.ports ?? [];
  if (ports.some((port) => port.containerPort === standard)) return String(standard);
  const named = new RegExp(`^(?:tcp-)?(?:${portName})$`);
  const likely = ports.find(({ name }) => named.test(name ?? ''));
  return String(likely?.containerPort ?? standard);
}

/** A value that the sidecar uses only if nothing else, such as a Secret, sets `name`. */
export function asDefault({ name, value }: PodEnvVar): PodEnvVar {
  return { name: `${name}_DEFAULT`, ...(value === undefined ? {} : { value }) };
}

/** Drops undefined entries. */
export function present(...entries: readonly (PodEnvVar | undefined)[]): readonly PodEnvVar[] {
  return entries.filter((entry) => entry !== undefined);
}
