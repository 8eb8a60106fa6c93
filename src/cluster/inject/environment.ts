import type { Container, EnvFrom, EnvVar } from '../objects/pod.ts';

/** `$(NAME)`; `$$(NAME)` is literal text (Kubernetes: "Define Dependent Environment Variables"). */
const REFERENCE = /\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g;

/**
 * The environment of the database's container. Only the entries that the sidecar needs are taken over,
 * together with the entries they refer to.
 */
export class Environment {
  readonly #entries: ReadonlyMap<string, EnvVar>;
  readonly #from: readonly EnvFrom[];
  readonly #needed = new Map<string, EnvVar>();
  #usesFrom = false;

  constructor(container: Container) {
    // If two entries have the same name, the kubelet takes the last one.
    this.#entries = new Map((container.env ?? []).map((entry) => [entry.name, entry]));
    this.#from = container.envFrom ?? [];
  }

  /** Whether the pod's spec itself sets it to a value that is not empty. */
  has(name: string): boolean {
    const entry = this.#entries.get(name);
    return entry !== undefined && (entry.valueFrom !== undefined || (entry.value ?? '') !== '');
  }

  /** The first of `names` that the spec has in plain text, without references; `undefined`: none. */
  plain(...names: readonly string[]): string | undefined {
    for (const name of names) {
      const value = this.#entries.get(name)?.value;
      if (value !== undefined && value !== '' && !value.includes('$(')) return value;
    }
    return undefined;
  }

  /** Its text as the spec has it, with references unresolved; `''`: none. */
  written(name: string): string {
    return this.#entries.get(name)?.value ?? '';
  }

  /** Whether there may be variables that only the cluster knows: those of `envFrom`. */
  get hasUnknown(): boolean {
    return this.#from.length > 0;
  }

  /** The names of the Secrets and ConfigMaps in `envFrom`. */
  get sources(): readonly string[] {
    return this.#from.flatMap((one) => one.secretRef?.name ?? one.configMapRef?.name ?? []);
  }

  /**
   * `target` with the value of the first of `names` that the spec sets. If the spec sets it as a file
   * (`NAME_FILE`), the result is `target_FILE`. A reference to a Secret stays a reference.
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

  /** `target` as a reference to `name`, which only the cluster knows, and which may be unset there. */
  refer(target: string, name: string): EnvVar {
    this.#usesFrom = true;
    return { name: target, value: `$(${name})` };
  }

  /** Takes over the variables that a text refers to by `$(NAME)`, and those that they refer to in turn. */
  need(text: string | undefined): void {
    this.#need(text, new Set());
  }

  #need(text: string | undefined, above: ReadonlySet<string>): void {
    for (const [, name] of text?.matchAll(REFERENCE) ?? []) {
      // Stop at a circular reference, which the kubelet leaves unresolved.
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

  /** The variables taken over because another refers to them, each before those that refer to it. */
  get needed(): readonly EnvVar[] {
    return [...this.#needed.values()];
  }

  /** The database's `envFrom` if the sidecar needs a variable from it, else nothing. */
  get from(): readonly EnvFrom[] {
    return this.#usesFrom ? this.#from : [];
  }
}
