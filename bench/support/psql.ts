import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { EmbeddedPostgres } from '../../src/testbed/postgres/server.ts';
import { cleanEnv } from '../../src/testbed/processes.ts';
import { DATABASE } from '../../src/demo/source.ts';

/** The environment of psql, without the caller's own settings. */
export function psqlEnv(server: EmbeddedPostgres): Record<string, string> {
  return cleanEnv({ ...server.env(), PGDATABASE: DATABASE });
}

const QUIET = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1'];

/** `psql -c SQL`, as a hook calls it. */
export async function psql(server: EmbeddedPostgres, sql: string): Promise<void> {
  const session = new PsqlSession(server, ['-c', sql]);
  await session.ended();
}

/** A psql session that takes statements until `end`. */
export class PsqlSession {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<unknown[]>;
  #output = '';
  #errors = '';
  #steps = 0;

  constructor(server: EmbeddedPostgres, args: readonly string[] = []) {
    this.#child = spawn('psql', [...QUIET, ...args], { env: psqlEnv(server) });
    this.#closed = once(this.#child, 'close');
    this.#child.stdout.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    // When psql has ended, its stderr says why.
    this.#child.stdin.on('error', () => undefined);
  }

  /** Resolves when the server has executed the statements. */
  async run(sql: string): Promise<void> {
    this.#steps += 1;
    const mark = `step-${this.#steps}-done`;
    this.#child.stdin.write(`${sql}\n\\echo ${mark}\n`);
    while (!this.#output.includes(mark)) {
      if (this.#child.exitCode !== null) throw new Error(`psql: ${this.#errors}`);
      await Promise.race([once(this.#child.stdout, 'data'), this.#closed]);
    }
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.ended();
  }

  async ended(): Promise<void> {
    const [code] = await this.#closed;
    if (code !== 0) throw new Error(`psql exited ${String(code)}: ${this.#errors}`);
  }
}
