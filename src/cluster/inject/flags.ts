import { parseArgs } from 'node:util';
import type { Address } from '../../config/schema.ts';
import { parseDuration } from '../../lib/duration.ts';
import { QuiesceError } from '../../errors.ts';
import { amount } from './overlay.ts';
import { INJECT_DEFAULTS, type InjectConfig } from './options.ts';

/** The flags that say what is injected, with their defaults; `''` is required or unset. */
export const INJECT_FLAGS: Readonly<Record<string, string>> = {
  image: '',
  'image-pull-policy': '',
  'hook-timeout': `${INJECT_DEFAULTS.hookTimeoutMs / 1_000}s`,
  'cpu-request': INJECT_DEFAULTS.cpuRequest,
  'memory-request': INJECT_DEFAULTS.memoryRequest,
  'memory-limit': INJECT_DEFAULTS.memoryLimit,
};

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'] as const;
const SHORTEST_HOOK_MS = 2_000;

export function readInjectConfig(reader: FlagReader): InjectConfig {
  const image = reader.matching('image', /^[a-z0-9][\w./:@-]{0,511}$/i);
  const policy = reader.text('image-pull-policy');
  const imagePullPolicy = PULL_POLICIES.find((one) => one === policy);
  if (policy !== '' && imagePullPolicy === undefined) {
    reader.issue('image-pull-policy', `must be one of ${PULL_POLICIES.join(', ')}`);
  }
  const memoryRequest = reader.quantity('memory-request');
  const memoryLimit = reader.quantity('memory-limit');
  // An API server refuses the whole pod for such a container, whatever the failure policy.
  if ((amount(memoryRequest) ?? 0) > (amount(memoryLimit) ?? Number.POSITIVE_INFINITY)) {
    reader.issue('memory-request', 'must not be more than --memory-limit');
  }
  return {
    image,
    imagePullPolicy,
    hookTimeoutMs: reader.duration('hook-timeout', SHORTEST_HOOK_MS),
    cpuRequest: reader.quantity('cpu-request'),
    memoryRequest,
    memoryLimit,
  };
}

/** Reads flags that may also be environment variables, and collects what is wrong with them. */
export class FlagReader {
  readonly #issues: string[] = [];
  readonly #values: Readonly<Record<string, string>>;
  readonly #verb: string;

  /** @throws QuiesceError USAGE for a flag that is unknown or has no value */
  constructor(
    verb: string,
    defaults: Readonly<Record<string, string>>,
    args: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
    short: Readonly<Record<string, string>> = {},
  ) {
    this.#verb = verb;
    const options = Object.fromEntries(
      Object.keys(defaults).map((name) => {
        const letter = short[name];
        return [
          name,
          { type: 'string' as const, ...(letter === undefined ? {} : { short: letter }) },
        ];
      }),
    );
    const { values } = this.#parse(args, options);
    this.#values = Object.fromEntries(
      Object.entries(defaults).map(([name, fallback]) => {
        const variable = env[`QUIESCE_${verb}_${name}`.toUpperCase().replaceAll('-', '_')];
        return [name, values[name] ?? variable ?? fallback];
      }),
    );
  }

  #parse(args: readonly string[], options: Record<string, { type: 'string'; short?: string }>) {
    try {
      const { values, tokens } = parseArgs({
        args: [...args],
        options,
        strict: true,
        allowPositionals: false,
        tokens: true,
      });
      // parseArgs takes the last of several, and of two manifests one would be dropped in silence.
      const names = tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
      const twice = names.find((name, index) => names.indexOf(name) < index);
      if (twice !== undefined) this.issue(twice, 'is given more than once');
      return { values: values as Record<string, string | undefined> };
    } catch (error) {
      const message = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      throw this.#usage(message);
    }
  }

  text(name: string): string {
    return this.#values[name] ?? '';
  }

  issue(name: string, message: string): void {
    this.#issues.push(`--${name} ${message}`);
  }

  matching(name: string, pattern: RegExp): string {
    const value = this.text(name);
    if (value === '') this.issue(name, 'is required');
    else if (!pattern.test(value))
      this.issue(name, `cannot be ${JSON.stringify(value.slice(0, 60))}`);
    return value;
  }

  oneOf<T extends string>(name: string, allowed: readonly [T, ...T[]]): T {
    const found = allowed.find((one) => one === this.text(name));
    if (found === undefined) this.issue(name, `must be one of ${allowed.join(', ')}`);
    return found ?? allowed[0];
  }

  duration(name: string, shortest: number): number {
    const ms = parseDuration(this.text(name));
    if (ms !== undefined && ms >= shortest) return ms;
    this.issue(
      name,
      `must be a duration with a unit, such as 30s or 10m, and at least ${shortest}ms`,
    );
    return shortest;
  }

  quantity(name: string): string {
    const value = this.text(name);
    const number = amount(value);
    if (number === undefined || number <= 0)
      this.issue(name, 'must be a quantity, such as 10m or 64Mi');
    return value;
  }

  address(name: string): Address {
    const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(this.text(name));
    const port = Number(match?.[2]);
    if (match?.[1] === undefined || !(port <= 65_535)) this.issue(name, 'must be host:port');
    return { host: (match?.[1] ?? '').replace(/^\[|\]$/g, ''), port };
  }

  /** @throws QuiesceError USAGE where anything was wrong */
  finish(): void {
    if (this.#issues.length > 0) throw this.#usage(`${this.#issues.join('; ')}.`);
  }

  #usage(message: string): QuiesceError {
    const field = /^--[a-z-]+/.exec(message)?.[0];
    const hint = `quiesce ${this.#verb} --help`;
    return new QuiesceError('USAGE', message, field === undefined ? { hint } : { hint, field });
  }
}
