import type { Container, EnvFrom, EnvVar } from '../objects/pod.ts';

/** `$(NAME)`; `$$(NAME)` is the literal text (Kubernetes: "Define Dependent Environment Variables"). */
const REFERENCE = /\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g;

/**
 * The environment of the database's container, from which entries are taken over one by one: what
 * they refer to comes along, what nobody needs stays behind.
 */
export class Environment {
  readonly #entries: ReadonlyMap<string, EnvVar>;
  readonly #from: readonly EnvFrom[];
  readonly #needed = new Map<string, EnvVar>();
  #usesFrom = false;

  constructor(container: Container) {
    // Of two entries with one name the kubelet takes the last.
    this.#entries = new Map((container.env ?? []).map((entry) => [entry.name, entry]));
    this.#from = container.envFrom ?? [];
  }

  /** Whether the pod's spec itself sets it, to something. */
  has(name: string): boolean {
    const entry = this.#entries.get(name);
    return entry !== undefined && (entry.valueFrom !== undefined || (entry.value ?? '') !== '');
  }

  /** Its text, where the spec has it in plain text; otherwise `undefined`. */
  plain(...names: readonly string[]): string | undefined {
    for (const name of names) {
      const value = this.#entries.get(name)?.value;
      if (value !== undefined && value !== '' && !value.includes('$(')) return value;
    }
    return undefined;
  }

  /** Its text as it is written, references to others included. */
  written(name: string): string {
    return this.#entries.get(name)?.value ?? '';
  }

  /** Whether there are names that only the cluster knows. */
  get hasUnknown(): boolean {
    return this.#from.length > 0;
  }

  /** The names of the Secrets and ConfigMaps that the environment comes from. */
  get sources(): readonly string[] {
    return this.#from.flatMap((one) => one.secretRef?.name ?? one.configMapRef?.name ?? []);
  }

  /**
   * `target` with the value of the first of `names` that the spec sets, or `target_FILE` with that of
   * the first that is set as a file. A Secret's reference stays a reference.
   */
  take(target: string, ...names: readonly string[]): EnvVar | undefined {
    for (const name of names) {
      const found = [name, `${name}_FILE`].find((one) => this.has(one));
      const entry = found === undefined ? undefined : this.#entries.get(found);
      if (entry === undefined) continue;
      this.need(entry.value);
      return { ...entry, name: found === name ? target : `${target}_FILE` };
    }
    return undefined;
  }

  /** `target` as a reference to `name`, which only the cluster knows: it may turn out to be unset. */
  refer(target: string, name: string): EnvVar {
    this.#usesFrom = true;
    return { name: target, value: `$(${name})` };
  }

  /** Takes over what a text refers to by `$(NAME)`, and what that refers to, in turn. */
  need(text: string | undefined): void {
    this.#need(text, new Set());
  }

  #need(text: string | undefined, above: ReadonlySet<string>): void {
    for (const [, name] of text?.matchAll(REFERENCE) ?? []) {
      // A circle ends: the kubelet leaves such a reference as it is.
      if (name === undefined || above.has(name) || this.#needed.has(name)) continue;
      const entry = this.#entries.get(name);
      if (entry === undefined) {
        this.#usesFrom ||= this.#from.length > 0;
        continue;
      }
      this.#need(entry.value, new Set([...above, name]));
      this.#needed.set(name, entry);
    }
  }

  /** What was taken over because something refers to it, in an order in which it resolves. */
  get needed(): readonly EnvVar[] {
    return [...this.#needed.values()];
  }

  /** The database's `envFrom`, where something came from there. */
  get from(): readonly EnvFrom[] {
    return this.#usesFrom ? this.#from : [];
  }
}
