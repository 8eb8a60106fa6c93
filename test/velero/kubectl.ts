import { join } from 'node:path';
import { KUBECONFIG, type Programs } from './layout.ts';
import { type Ran, run, type RunOptions, tryRun } from './run.ts';

/** The command lines of the cluster, with the administrator's access. */
export class Tools {
  readonly programs: Programs;
  readonly #env: Readonly<Record<string, string>>;

  constructor(programs: Programs) {
    this.programs = programs;
    const { clients, velero } = programs.folders;
    const path = [clients, velero, process.env['PATH'] ?? ''].join(':');
    this.#env = { PATH: path, KUBECONFIG, HOME: '/root' };
  }

  /** The environment in which a user's command lines run. */
  get env(): Readonly<Record<string, string>> {
    return this.#env;
  }

  /** @returns what kubectl prints. @throws Error with its message */
  async kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return (await run(this.#program('kubectl'), args, this.#with(options))).stdout.trim();
  }

  async tryKubectl(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    return await tryRun(this.#program('kubectl'), args, this.#with(options));
  }

  /** One object, or a list of them, as the API server has it. */
  async get<T = Record<string, unknown>>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json'])) as T;
  }

  async apply(manifest: string): Promise<void> {
    await this.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], {
      input: manifest,
    });
  }

  async helm(args: readonly string[]): Promise<string> {
    return (await run(this.#program('helm'), args, this.#with({}))).stdout.trim();
  }

  async velero(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const program = join(this.programs.folders.velero, 'velero');
    return await tryRun(program, args, this.#with(options));
  }

  #program(name: 'kubectl' | 'helm'): string {
    return join(this.programs.folders.clients, name);
  }

  #with(options: RunOptions): RunOptions {
    return { ...options, env: { ...this.#env, ...options.env } };
  }
}
